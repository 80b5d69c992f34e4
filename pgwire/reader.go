package pgwire

import (
	"bufio"
	"encoding/binary"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/volleydb/volley/pgerr"
)

const (
	// smallMessage limits the messages that carry neither SQL nor data, and all
	// of them before authentication; the figure is Postgres'.
	smallMessage = 10000
	// The inbox takes messages until one of these is exceeded.
	inboxBytes    = 1 << 20
	inboxMessages = 1024
	// firstRead is how much is allocated on a length's word alone.
	firstRead = 64 << 10
)

// message is one message of the client. Its body belongs to whoever takes it.
type message struct {
	typ  byte
	body []byte
}

// inbox is the queue between the reader and the connection. ready and space
// hold one token each: "look again".
type inbox struct {
	mu     sync.Mutex
	items  []message
	head   int
	bytes  int
	err    error // why no more will come, after the items
	closed bool
	ready  chan struct{}
	space  chan struct{}
}

func newInbox() *inbox {
	return &inbox{ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// put adds a message, waiting for space; false when the connection is done.
func (q *inbox) put(m message, done <-chan struct{}) bool {
	for {
		q.mu.Lock()
		if q.closed {
			q.mu.Unlock()
			return false
		}
		if n := len(q.items) - q.head; n == 0 || n < inboxMessages && q.bytes < inboxBytes {
			q.items = append(q.items, m)
			q.bytes += len(m.body)
			q.mu.Unlock()
			signal(q.ready)
			return true
		}
		q.mu.Unlock()
		select {
		case <-q.space:
		case <-done:
			return false
		}
	}
}

// fail says that no more messages come.
func (q *inbox) fail(err error) {
	q.mu.Lock()
	q.err = err
	q.mu.Unlock()
	signal(q.ready)
}

// take returns the next message if there is one; with none left it returns the
// error of fail.
func (q *inbox) take() (m message, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return message{}, false, q.err
	}
	m = q.items[q.head]
	q.items[q.head] = message{}
	q.head++
	q.bytes -= len(m.body)
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head >= inboxMessages {
		q.items = append(q.items[:0], q.items[q.head:]...)
		q.head = 0
	}
	signal(q.space)
	return m, true, nil
}

func (q *inbox) close() {
	q.mu.Lock()
	q.closed, q.items, q.head, q.bytes = true, nil, 0, 0
	q.mu.Unlock()
	signal(q.space)
}

// errProtocol is for what breaks the protocol. Where the frames themselves are
// broken it ends the connection.
func errProtocol(format string, args ...any) *pgerr.Error {
	return pgerr.New(pgerr.ProtocolViolation, format, args...)
}

// limitOf returns the limit of a message type's body, false for an unknown type.
func limitOf(typ byte, limit int) (int, bool) {
	switch typ {
	case 'Q', 'P', 'B', 'd', 'F':
		return limit, true
	case 'C', 'D', 'E', 'H', 'S', 'X', 'c', 'f', 'p':
		return min(smallMessage, limit), true
	}
	return 0, false
}

// readMessage reads one message after the startup.
func readMessage(r io.Reader, limit int) (message, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return message{}, err
	}
	most, known := limitOf(head[0], limit)
	if !known {
		return message{}, errProtocol("invalid frontend message type %d", head[0])
	}
	n := int64(binary.BigEndian.Uint32(head[1:])) - 4
	if n < 0 || n > int64(most) {
		return message{}, errProtocol("invalid message length")
	}
	body, err := readBody(r, int(n))
	return message{head[0], body}, err
}

// readBody reads n bytes. The memory grows with what has come, not with what
// was announced.
func readBody(r io.Reader, n int) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	b := make([]byte, min(n, firstRead))
	for at := 0; ; {
		if _, err := io.ReadFull(r, b[at:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if at = len(b); at == n {
			return b, nil
		}
		nb := make([]byte, min(n, 4*at))
		copy(nb, b)
		b = nb
	}
}

// readLoop fills the inbox until the client goes, a frame is broken, or the
// connection is done. It keeps reading after a broken frame, into nothing, so
// that closing the socket does not destroy the error message on its way.
func (c *conn) readLoop(r *bufio.Reader) {
	for {
		m, err := readMessage(r, c.srv.cfg.MaxMessageBytes)
		if err == nil {
			if c.in.put(m, c.ctx.Done()) {
				continue
			}
			_, _ = io.Copy(io.Discard, r)
			return
		}
		c.in.fail(err)
		if _, broken := err.(*pgerr.Error); broken {
			_, _ = io.Copy(io.Discard, r)
		}
		c.cancel(errClientGone)
		return
	}
}

// body cuts a message's body into fields. After the first that does not fit,
// all are zero and bad is set.
type body struct {
	b   []byte
	bad bool
}

func (b *body) take(n int) []byte {
	if n < 0 || n > len(b.b) {
		b.bad, b.b = true, nil
		return nil
	}
	out := b.b[:n:n]
	b.b = b.b[n:]
	return out
}

func (b *body) u8() byte {
	if x := b.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (b *body) u16() int {
	if x := b.take(2); x != nil {
		return int(binary.BigEndian.Uint16(x))
	}
	return 0
}

func (b *body) i32() int32 {
	if x := b.take(4); x != nil {
		return int32(binary.BigEndian.Uint32(x))
	}
	return 0
}

func (b *body) str() string {
	for i, c := range b.b {
		if c == 0 {
			s := string(b.b[:i])
			b.b = b.b[i+1:]
			return s
		}
	}
	b.bad, b.b = true, nil
	return ""
}

// done reports a body that was too short or too long.
func (b *body) done() error {
	if b.bad || len(b.b) > 0 {
		return errProtocol("invalid message format")
	}
	return nil
}

// validText refuses what is not UTF-8 or holds a NUL.
func validText(s string) error {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return nil
	}
	for i, r := range s {
		if _, n := utf8.DecodeRuneInString(s[i:]); r == 0 || r == utf8.RuneError && n == 1 {
			return pgerr.New(pgerr.CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": 0x%02x", s[i])
		}
	}
	return nil
}
