// Package survey looks around on a host: which namespace is at the other end of a
// workload's link, which connections its sockets have, and who opened them.
//
// It changes nothing and knows no policy. The agent imports it; it is for Linux
// with root.
package survey
