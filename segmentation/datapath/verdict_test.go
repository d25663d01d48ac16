package datapath_test

import "testing"

func TestAllowDenyAndReplies(t *testing.T) {
	b := newBed(t, "web", "cart", "other")
	b.serve("cart", 8080)
	b.serve("cart", 9090)
	for _, p := range []string{"tcp", "udp", "icmp"} {
		b.passes(p, "web", "cart", 8080) // nothing selects anything
	}
	b.apply(`
policy shop/cart enforces for app=cart
  ingress from app=web on TCP 8080, UDP 8080, ICMP
`)
	for _, p := range []string{"tcp", "udp", "icmp"} {
		b.passes(p, "web", "cart", 8080)
		b.denied(p, "other", "cart", 8080)
	}
	b.denied("tcp", "web", "cart", 9090)
	b.denied("udp", "web", "cart", 9090)
}

func TestDefaultDenyInBothDirections(t *testing.T) {
	b := newBed(t, "web", "cart", "db")
	for _, n := range b.names {
		b.serve(n, 80)
	}
	b.apply(`
policy shop/cart enforces for app=cart
  ingress from app=web on TCP 80
  egress to app=db on TCP 80
`)
	b.passes("tcp", "web", "cart", 80)
	b.passes("tcp", "cart", "db", 80)
	b.denied("tcp", "db", "cart", 80)
	b.denied("tcp", "cart", "web", 80)
	b.denied("udp", "cart", "db", 80)
	b.passes("tcp", "web", "db", 80)
}

// Where everything is closed but one direction of opening, answers pass, by what is
// remembered of their flows: in no other way could they.
func TestRepliesUnderDefaultDeny(t *testing.T) {
	b := newBed(t, "web", "cart")
	for _, n := range b.names {
		b.serve(n, 80)
	}
	b.apply(`
policy shop/cart enforces for app=cart
  ingress from app=web on TCP 80, UDP 80, ICMP
  egress to nobody
policy shop/web enforces for app=web
  ingress from nobody
  egress to app=cart on TCP 80, UDP 80, ICMP
`)
	for _, p := range []string{"tcp", "udp", "icmp"} {
		b.passes(p, "web", "cart", 80)
		b.denied(p, "cart", "web", 80)
	}
}
