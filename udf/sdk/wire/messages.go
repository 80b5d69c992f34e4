package wire

// HelloMsg is the plugin's first frame.
type HelloMsg struct {
	Magic    string   `json:"magic"`
	ABI      int      `json:"abi"`
	Manifest Manifest `json:"manifest"`
	// Where says that the plugin answers Where frames.
	Where bool `json:"where,omitempty"`
}

// WelcomeMsg is the host's answer.
type WelcomeMsg struct {
	ABI int `json:"abi"`
}

// Manifest is what a plugin says of itself: in HelloMsg, and printed by
// plugin --manifest.
type Manifest struct {
	ABI       int        `json:"abi"`
	Name      string     `json:"name,omitempty"`
	Version   string     `json:"version,omitempty"`
	Toolchain string     `json:"toolchain"`
	Functions []Function `json:"functions"`
}

// Function is one registered function.
type Function struct {
	Name       string  `json:"name"`
	Kind       string  `json:"kind"` // scalar, aggregate, grouped_map, table, window
	Args       []Param `json:"args"`
	Returns    *Param  `json:"returns,omitempty"`
	Columns    []Param `json:"columns,omitempty"`
	Volatility string  `json:"volatility"`
	Doc        string  `json:"doc,omitempty"`
	// Variadic says that the last argument, a list, takes any number of values.
	Variadic bool `json:"variadic,omitempty"`
	// Contract says what a grouped map wants to be given: "" or "group_stream" are
	// the rows of a group piece by piece, "group" all of them at once, "rows" up to
	// BatchRows rows at once, whatever their keys.
	Contract      string `json:"contract,omitempty"`
	BatchRows     int    `json:"batch_rows,omitempty"`
	MaxGroupBytes int64  `json:"max_group_bytes,omitempty"`
	// Describes says that the function computes its output columns from the
	// arguments: see DescribeKind.
	Describes bool `json:"describes,omitempty"`
}

// The contracts of grouped maps.
const (
	ContractStream = "group_stream"
	ContractGroup  = "group"
	ContractRows   = "rows"
)

// DescribeKind is OpenMsg.Kind of a stream that asks for the output columns of a
// function: its one row is the arguments (NULL for those that are no constants), its
// rows are the name and the SDK's type of each column.
const DescribeKind = "describe"

// Param is an argument, a result or a column.
type Param struct {
	Name string `json:"name,omitempty"`
	Type string `json:"type"` // see ParseType
	// Nullable says that the function can take NULL: without it rows with NULL in
	// an argument give NULL without a call.
	Nullable bool `json:"nullable,omitempty"`
	// Default is the SQL expression of an argument that a call leaves out.
	Default string `json:"default,omitempty"`
}

// OpenMsg opens a stream.
type OpenMsg struct {
	Function string `json:"function"`
	Kind     string `json:"kind"`
	// Args and Out are the SQL types of the columns, in the SDK's names. They are
	// the function's, but where it has time they say timestamp, timestamptz or date.
	Args []string `json:"args"`
	Out  []string `json:"out"`
	// OutNames are the columns of a function that describes its output.
	OutNames []string `json:"out_names,omitempty"`
	// OnError of an aggregate is null where a group whose rows fail has NULL as its
	// result: each failure is an Error frame with FlagGoesOn. Plugins that do not know
	// it end the stream with the first.
	OnError string `json:"on_error,omitempty"`
}

// ErrorMsg is an error of user code or of its use.
type ErrorMsg struct {
	Code    string `json:"code"` // SQLSTATE
	Message string `json:"message"`
	Detail  string `json:"detail,omitempty"`
	Hint    string `json:"hint,omitempty"`
	Args    string `json:"args,omitempty"` // what stands in Detail after "Arguments: " and before a full stop
	Row     int64  `json:"row"`            // of the batch or the group, -1 = unknown
	Group   int64  `json:"group"`          // -1 = none
	Panic   bool   `json:"panic,omitempty"`
}
