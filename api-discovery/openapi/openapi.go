// Package openapi translates between specifications as this project knows them
// (package apidiscovery) and OpenAPI documents. It renders OpenAPI 3.1.
//
// All of it is pure: values in, bytes out, in an order that does not depend on
// the input's. Equal specifications give equal bytes.
//
// It does not learn (api-discovery/learn) and judges no request (filters).
// Compositions may import it.
package openapi
