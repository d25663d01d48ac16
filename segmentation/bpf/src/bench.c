// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Programs that are only measured: nothing at all, the lookup alone, and the whole
// path for a flow that is always a new one. They share the maps of the real ones.
#define BENCH
#include "tcx.c"

SEC("tcx/ingress")
int empty(struct __sk_buff *skb) { return TCX_NEXT; }

SEC("xdp")
int empty_uplink(struct xdp_md *ctx) { return XDP_PASS; }

SEC("tcx/ingress")
int lookup(struct __sk_buff *skb)
{
	struct visit v = {.outbound = 1, .ifindex = skb->ifindex};
	u32 rule = 0;

	if (enter(&v) == TCX_DROP || !v.endpoint)
		return TCX_DROP;
	read_packet(skb, &v.p);
	if (v.p.kind)
		return TCX_DROP;
	v.from = v.me = 0;
	return ask(&v, 0, &rule) == DENIED ? TCX_DROP : TCX_NEXT;
}

SEC("tcx/ingress")
int fresh_flow(struct __sk_buff *skb) { return handle(skb, 3); }
