package function

// families are the groups of built-ins, in the order in which they are registered.
func families() []func(*registry) {
	return []func(*registry){
		registerComparisons,
		registerArithmetic,
		registerMath,
		registerAggregates,
		registerWindows,
		registerStrings,
		registerArrays,
		registerTables,
		registerRandom,
		registerDatetime,
		registerCatalog,
		registerJSON,
		registerSubqueries,
		registerSampling,
		registerNormalize,
		registerReceipts,
	}
}
