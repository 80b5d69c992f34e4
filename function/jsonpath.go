package function

func registerJSONPath(r *registry) {}
