// Package apidiscovery is the vocabulary of API discovery: the operations a
// service really has, what they carry, who calls them, and the specifications
// made of them. Everything is a plain value: no maps where order would show, no
// pointers into the learner, fit for JSON and for comparing.
//
// It is not the learner (api-discovery/learn), not OpenAPI (api-discovery/openapi),
// and it reads no traffic. Anyone may import it.
//
// No value of it holds a raw value from traffic, with two exceptions that are
// judged to be the API's own words: the literal segments of a PathTemplate, and
// the values of an Enum.
package apidiscovery
