package main

type smallAPI struct {
	name       string
	operations []operation
}

func smallAPIs() []smallAPI { return nil }
