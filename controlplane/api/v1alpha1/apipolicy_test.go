package v1alpha1

import (
	"strings"
	"testing"
)

func TestAPIPolicyIsReadStrictly(t *testing.T) {
	const text = `apiVersion: gabion.io/v1alpha1
kind: APIPolicy
metadata: {name: shop}
spec:
  mode: loud
  unknownOperations: refuse
  operations:
  - method: get
    path: orders
  - method: POST
    path: /orders
    parameters:
    - in: body
      name: x
    - {in: query, name: "", schema: 5}
    body:
      content:
      - contentType: JSON
    responses:
    - status: "20X"
    - status: 2XX
      content: [{contentType: application}]
  - method: POST
    path: /orders
    boddy: {}
`
	_, list := Decode("in.yaml", []byte(text))
	want := `in.yaml:15: spec.operations[1].parameters[1].schema: is no schema: write an object such as {type: string}
in.yaml:25: spec.operations[2].boddy: unknown field: did you mean body?
`
	if got := problems(list); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	_, list = Decode("in.yaml", []byte(strings.NewReplacer("schema: 5", "schema: {type: string}", "    boddy: {}\n", "").Replace(text)))
	want = `in.yaml:5: spec.mode: "loud" is not one of off, detect, block
in.yaml:6: spec.unknownOperations: "refuse" is not one of allow, detect, deny
in.yaml:8: spec.operations[0].method: "get" is no method: write it in upper case, such as GET
in.yaml:9: spec.operations[0].path: "orders" is no path: it begins with /, has {name} where a value stands, and no query
in.yaml:13: spec.operations[1].parameters[0].in: "body" is not one of path, query, header, cookie
in.yaml:15: spec.operations[1].parameters[1].name: is missing: name the parameter
in.yaml:18: spec.operations[1].body.content[0].contentType: "JSON" is no media type: write it in lower case like application/json, image/*, application/*+json or */*
in.yaml:20: spec.operations[1].responses[0].status: "20X" is no status: write it in quotes like "200", "2XX" or default
in.yaml:22: spec.operations[1].responses[1].content[0].contentType: "application" is no media type: write it in lower case like application/json, image/*, application/*+json or */*
in.yaml:23: spec.operations[2]: POST /orders is operation 1 already
`
	if got := problems(list); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A schema is rendered as it was read, whatever way it is written.
func TestAPIPolicyIsRenderedAsRead(t *testing.T) {
	const text = `apiVersion: gabion.io/v1alpha1
kind: APIPolicy
metadata:
  name: shop
  namespace: default
spec:
  operations:
  - body:
      content:
      - contentType: application/json
        schema:
          properties:
            n:
              maximum: 100000000000000000000
              type: integer
          type: object
      required: true
    method: POST
    path: /orders
`
	objects, list := Decode("in.yaml", []byte(text))
	if len(list) > 0 || len(objects) != 1 {
		t.Fatal(problems(list))
	}
	out, err := Encode(objects[0])
	if err != nil || !strings.Contains(string(out), "maximum: 100000000000000000000\n") && !strings.Contains(string(out), "maximum: 1e+20\n") {
		t.Errorf("%v\n%s", err, out)
	}
	again, list := Decode("again.yaml", out)
	if len(list) > 0 || len(again) != 1 {
		t.Fatal(problems(list))
	}
	if second, err := Encode(again[0]); err != nil || string(second) != string(out) {
		t.Errorf("%v\n%s\n%s", err, out, second)
	}
}
