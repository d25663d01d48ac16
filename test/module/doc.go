// Package module holds the filter's two transports, the dynamic module and
// ext_proc, against the real Envoy and against each other: the same cases, the
// same verdicts, and streams that pass unharmed. It has tests only; they skip
// when there is no Envoy.
package module
