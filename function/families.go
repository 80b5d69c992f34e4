package function

// families are the groups of built-ins, in the order in which they are registered.
var families = []func(*registry){
	registerComparisons,
}
