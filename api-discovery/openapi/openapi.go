// Package openapi translates between specifications as this project knows them
// (package apidiscovery) and the documents that people write and tools read. It
// renders OpenAPI 3.1, reads OpenAPI 3.0 and 3.1, Swagger 2, protobuf descriptors
// and GraphQL schemas, and compares what is declared with what is observed.
//
// All of it is pure: bytes and values in, bytes and values out, in an order that
// does not depend on the input's. Equal specifications give equal bytes. It
// fetches nothing: a document must be whole, references to other files and hosts
// are not followed.
//
// It does not learn (api-discovery/learn) and judges no request (filters).
// Compositions may import it.
//
// In a declared specification a Response's Status may also be 0, the default,
// and 1 to 5, a range as 4XX.
package openapi

// MaxDocument is the size of a document in bytes up to which one is read.
const MaxDocument = 64 << 20

// Problem is something in a document that was left out, and where.
type Problem struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

func (p Problem) String() string { return p.Where + ": " + p.What }
