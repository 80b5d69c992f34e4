package pgerr

// SQLSTATEs in use. Names are those of Postgres' errcodes table.
const (
	ProtocolViolation              = "08P01"
	FeatureNotSupported            = "0A000"
	CardinalityViolation           = "21000"
	StringDataRightTruncation      = "22001"
	NumericValueOutOfRange         = "22003"
	NullValueNotAllowed            = "22004"
	InvalidDatetimeFormat          = "22007"
	DatetimeFieldOverflow          = "22008"
	InvalidTimeZoneDisplacement    = "22009"
	DivisionByZero                 = "22012"
	InvalidRegularExpression       = "2201B"
	InvalidArgumentForLog          = "2201E"
	InvalidArgumentForPower        = "2201F"
	InvalidArgumentForNtile        = "22014"
	InvalidArgumentForNthValue     = "22016"
	IntervalFieldOverflow          = "22015"
	SubstringError                 = "22011"
	InvalidRowCountInLimit         = "2201W"
	InvalidRowCountInOffset        = "2201X"
	CharacterNotInRepertoire       = "22021"
	InvalidParameterValue          = "22023"
	InvalidTextRepresentation      = "22P02"
	InvalidBinaryRepresentation    = "22P03"
	UntranslatableCharacter        = "22P05"
	BadCopyFileFormat              = "22P04"
	ArraySubscriptError            = "2202E"
	NotNullViolation               = "23502"
	InvalidTransactionState        = "25000"
	ActiveSQLTransaction           = "25001"
	ReadOnlySQLTransaction         = "25006"
	NoActiveSQLTransaction         = "25P01"
	InFailedSQLTransaction         = "25P02"
	IdleInTransactionTimeout       = "25P03"
	InvalidSQLStatementName        = "26000"
	DependentObjectsStillExist     = "2BP01"
	InvalidAuthorization           = "28000"
	InvalidPassword                = "28P01"
	InvalidCursorName              = "34000"
	ExternalRoutineException       = "38000"
	ExternalRoutineInvocationError = "39000"
	InvalidCatalogName             = "3D000"
	InvalidSchemaName              = "3F000"
	SavepointException             = "3B001"
	SerializationFailure           = "40001"
	SyntaxError                    = "42601"
	InsufficientPrivilege          = "42501"
	CannotCoerce                   = "42846"
	GroupingError                  = "42803"
	WindowingError                 = "42P20"
	InvalidRecursion               = "42P19"
	DatatypeMismatch               = "42804"
	IndeterminateDatatype          = "42P18"
	WrongObjectType                = "42809"
	UndefinedColumn                = "42703"
	UndefinedFunction              = "42883"
	InvalidName                    = "42602"
	UndefinedTable                 = "42P01"
	UndefinedParameter             = "42P02"
	UndefinedObject                = "42704"
	DuplicateColumn                = "42701"
	DuplicateCursor                = "42P03"
	DuplicateFunction              = "42723"
	DuplicatePreparedStatement     = "42P05"
	DuplicateSchema                = "42P06"
	DuplicateTable                 = "42P07"
	DuplicateAlias                 = "42712"
	DuplicateObject                = "42710"
	AmbiguousColumn                = "42702"
	AmbiguousFunction              = "42725"
	InvalidColumnReference         = "42P10"
	InvalidColumnDefinition        = "42611"
	InvalidFunctionDefinition      = "42P13"
	InvalidTableDefinition         = "42P16"
	ReservedName                   = "42939"
	TooManyColumns                 = "54011"
	InsufficientResources          = "53000"
	DiskFull                       = "53100"
	OutOfMemory                    = "53200"
	TooManyConnections             = "53300"
	ConfigurationLimitExceeded     = "53400"
	StatementTooComplex            = "54001"
	ProgramLimitExceeded           = "54000"
	ObjectNotInPrerequisiteState   = "55000"
	ObjectInUse                    = "55006"
	CantChangeRuntimeParam         = "55P02"
	QueryCanceled                  = "57014"
	AdminShutdown                  = "57P01"
	CrashShutdown                  = "57P02"
	CannotConnectNow               = "57P03"
	IdleSessionTimeout             = "57P05"
	IOError                        = "58030"
	UndefinedFile                  = "58P01"
	DuplicateFile                  = "58P02"
	InternalError                  = "XX000"
	DataCorrupted                  = "XX001"
)

// classOf derives the class from the SQLSTATE; a caller that knows better
// (FetchFailed, WorkerLost, Transient) says so by WithClass.
func classOf(code string) Class {
	if len(code) < 2 {
		return Bug
	}
	switch code[:2] {
	case "38", "39":
		return UDF
	case "53", "54":
		return Resource
	case "57":
		return Cancelled
	case "XX":
		return Bug
	}
	return User
}
