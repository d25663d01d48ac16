// Command openapi says what in OpenAPI documents is against the specification, by
// two foreign validators: libopenapi, and openapi-spec-validator if Python has it.
// It is a module of its own because the first takes minutes to compile on a busy
// machine, and nothing of gabion should come to need it by a test.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . FILE...")
		os.Exit(2)
	}
	bad := 0
	for _, name := range os.Args[1:] {
		problems, err := judge(name)
		if err != nil {
			problems = append(problems, err.Error())
		}
		for _, p := range problems {
			fmt.Printf("%s: %s\n", name, p)
		}
		if len(problems) > 0 {
			bad++
			continue
		}
		fmt.Printf("%s: valid\n", name)
	}
	if bad > 0 {
		os.Exit(1)
	}
}

// judge asks both.
func judge(name string) (problems []string, err error) {
	document, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	problems, err = libopenapi(document)
	if err != nil {
		return problems, err
	}
	more, err := specValidator(document)
	return append(problems, more...), err
}
