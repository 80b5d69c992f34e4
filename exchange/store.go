package exchange

// StoreConfig says where outputs are kept.
type StoreConfig struct {
	Dir         string // for spilled outputs; emptied at start
	Memory      int64  // bytes of batches held in memory; 0 = 256 MiB
	Disk        int64  // bytes of spilled outputs; 0 = no limit but the disk's
	Incarnation string // of the process; readers must name it
}

// Store keeps the outputs of this process' tasks.
type Store struct{ cfg StoreConfig }

// NewStore makes a store.
func NewStore(cfg StoreConfig) (*Store, error) { return &Store{cfg: cfg}, nil }
