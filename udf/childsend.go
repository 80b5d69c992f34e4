package udf

import (
	"context"
	"time"

	"github.com/volleydb/volley/pgerr"
	"github.com/volleydb/volley/udf/sdk/wire"
)

// write sends frames and, without shared memory, the columns of the last, for the user
// of s. A child that does not read makes it wait, and all others who write: see
// watchWriter. An error ends the stream, which does not know what was sent.
func (c *child) write(s *stream, frames, body []byte) error {
	select {
	case c.sending <- struct{}{}:
	default:
		ctx := s.context()
		select {
		case c.sending <- struct{}{}:
		case <-ctx.Done():
			err := pgerr.From(context.Cause(ctx))
			s.fail(err)
			return err
		}
	}
	s.writing.Store(int64(time.Since(clock)))
	c.writer.Store(s)
	err := c.send(frames, body)
	c.writer.Store(nil)
	<-c.sending
	if err != nil {
		return c.lost(err)
	}
	return nil
}

// reply is write for the host itself. Its error is the end of the connection, which the
// goroutine that reads is about to find out about, if it is not that one.
func (c *child) reply(frames []byte) error {
	c.sending <- struct{}{}
	defer func() { <-c.sending }()
	return c.send(frames, nil)
}

// send writes; sending is held.
func (c *child) send(frames, body []byte) error {
	_, err := c.conn.Write(frames)
	if err == nil && body != nil {
		_, err = c.conn.Write(body)
	}
	return err
}

// clock is where the times of writes count from.
var clock = time.Now()

// watchWriter ends a child that does not read what is written to it, when nobody wants
// it any more or the function's time is over. It is called several times a second.
func (c *child) watchWriter() {
	s := c.writer.Load()
	if s == nil {
		return
	}
	since := time.Since(clock) - time.Duration(s.writing.Load())
	grace := cancelGrace
	if c.cmd == nil {
		grace = connGrace
	}
	switch {
	case s.timeout > 0 && since > s.timeout:
		s.late("The process does not read what it is sent.")
	case s.context().Err() == nil || since < grace:
		return
	}
	c.log.Warn("the process does not read what it is sent: ending it", "function", s.name)
	c.kill(pgerr.New(pgerr.CrashShutdown, "plugin %s was ended because it did not read what function %s was sent", c.label, s.name).
		WithClass(pgerr.Transient))
}

// lost is the error of a write to a child that is going away; what really
// happened is known when it is gone.
func (c *child) lost(err error) error {
	select {
	case <-c.told:
	case <-time.After(2 * time.Second):
	}
	return pgerr.New(pgerr.CrashShutdown, "plugin %s is not running: %v", c.label, err).WithClass(pgerr.Transient)
}

// post writes a frame, but not from here: the caller wants to go on at once, and the
// socket may be full. False if the child is gone.
func (c *child) post(h wire.Header) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.wg.Add(1) // under mu, before serve can wait
	go func() {
		defer c.wg.Done()
		_ = c.reply(appendFrame(nil, h, nil)) // an error means that the child is gone, which the reader sees too
	}()
	return true
}
