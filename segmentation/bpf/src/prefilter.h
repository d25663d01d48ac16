// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The program on a host's uplinks. It drops what the hook of a local workload would
// be sent and would surely drop, before the host has made anything of it: the first
// packet of a flow, plain enough to be read at a glance, that the workload's policy
// denies by the same tables. Everything else it leaves to that hook, and remembers
// nothing of any flow.
//
// What it cannot see is that the host translates addresses between here and there.
// Therefore the agent says, again and again, that nothing does; without that word
// only such packets are dropped as cannot be answers and as the hook itself has
// dropped from the same source since rows were last read.
#ifndef GABION_PREFILTER_H
#define GABION_PREFILTER_H

struct xdp_md {
	u32 data;
	u32 data_end;
	u32 data_meta;
	u32 ingress_ifindex;
	u32 rx_queue_index;
	u32 egress_ifindex;
};

// What an XDP program answers.
enum {
	XDP_DROP = 1,
	XDP_PASS = 2,
};

// The key in `endpoints` of a workload that has an interface, for who knows no more
// than its number; beside that of the interface itself.
enum { BY_NUMBER = 3U << 30 };

struct prefilter {
	u32 straight; // until when nothing on this host translates addresses, in seconds
};

TABLE(prefilters, BPF_MAP_TYPE_ARRAY, u32, struct prefilter, 1);
TABLE(prefiltered, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, 1); // packets dropped here, of REASON_DENIED

// read_plain reads a packet without options, extension headers, tags or fragments,
// as read_packet would. 0: it is none.
static always_inline int read_plain(const struct xdp_md *ctx, struct packet *p, u32 *length)
{
	void *data = (void *)(u64)ctx->data, *end = (void *)(u64)ctx->data_end;
	const struct ethernet *e = data;
	const u8 *b;
	u8 protocol;

	if (data + sizeof(*e) > end)
		return 0;
	p->l3 = sizeof(*e);
	if (e->type == swap16(ETHERTYPE_IPV4)) {
		const struct ipv4 *h = data + sizeof(*e);
		if ((void *)(h + 1) > end || h->version_ihl != 0x45 || (h->fragment & swap16(0x3fff)))
			return 0;
		p->version = 4;
		p->hops = h->ttl;
		protocol = h->protocol;
		map_ipv4(&p->from, h->from);
		map_ipv4(&p->to, h->to);
		*length = swap16(h->length);
		b = (void *)(h + 1);
	} else if (e->type == swap16(ETHERTYPE_IPV6)) {
		const struct ipv6 *h = data + sizeof(*e);
		if ((void *)(h + 1) > end || (h->version_class >> 4) != 6 || !h->length)
			return 0;
		p->version = 6;
		p->hops = h->hops;
		protocol = h->next;
		p->from.d[0] = h->from[0];
		p->from.d[1] = h->from[1];
		p->to.d[0] = h->to[0];
		p->to.d[1] = h->to[1];
		if (is_mapped(&p->from) || is_mapped(&p->to))
			return 0;
		*length = sizeof(*h) + swap16(h->length);
		b = (void *)(h + 1);
	} else {
		return 0;
	}
	u32 header = (void *)b - data - sizeof(*e), there = end - data - sizeof(*e);
	if (*length > there || *length < header + header_size(protocol))
		return 0;
	// One by one: the verifier must see how much of the header is there.
	if (protocol == IPPROTO_TCP) {
		if (b + 20 > (u8 *)end)
			return 0;
		p->protocol = IPPROTO_TCP;
		transport(p, b);
	} else if (protocol == IPPROTO_UDP) {
		if (b + 8 > (u8 *)end)
			return 0;
		p->protocol = IPPROTO_UDP;
		transport(p, b);
	} else if (protocol == (p->version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		if (b + 8 > (u8 *)end)
			return 0;
		p->protocol = IPPROTO_ICMP;
		icmp(p, b[0], b[1], (u16)b[4] << 8 | b[5]);
	} else {
		return 0;
	}
	return p->kind == KIND_FLOW;
}

// no_answer says whether a packet begins a flow by its nature: whatever the host
// translates, it answers nothing.
static always_inline int no_answer(const struct packet *p)
{
	if (p->protocol == IPPROTO_TCP)
		return (p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	return p->protocol == IPPROTO_ICMP && p->echo == ECHO_REQUEST;
}

// find_receiver finds the policy of the workload of this host that a packet is
// addressed to. 0: there is none.
static always_inline int find_receiver(struct visit *v)
{
	if (!read_control(v))
		return 0;
	u32 workload = workload_at(&v->set, &v->p.to, 0);
	void *table = bpf_map_lookup_elem(&endpoints, &v->set);
	if (!workload || !table)
		return 0;
	v->ifindex = workload | BY_NUMBER;
	v->endpoint = bpf_map_lookup_elem(table, &v->ifindex);
	return v->endpoint && (v->endpoint->lanes[INGRESS].count || v->endpoint->lanes[INGRESS].closed);
}

// known says whether a packet is of a flow that is remembered: its hook judges it.
static noinline int known(const struct visit *v)
{
	return bpf_map_lookup_elem(&established, &v->key) || find_half_open(&v->key, v->now);
}

// refused says whether the receiver's hook has dropped the like of a packet before, as
// it would be counted here: then its source reaches it as it is.
static noinline int refused(const struct visit *v)
{
	struct tally_key row;
	u32 slot = v->flows & 1;
	void *table = bpf_map_lookup_elem(&drops, &slot);

	drop_row(v, REASON_DENIED, &row);
	return table && bpf_map_lookup_elem(table, &row);
}

// drop_early is as drop at the receiver's hook, to which the packet does not come.
static noinline int drop_early(const struct visit *v, u32 rule)
{
	struct tally_key row;
	u32 zero = 0;

	drop_row(v, REASON_DENIED, &row);
	struct event *e = sample(v, &row, book_drop(v, &row, rule), rule);
	if (e)
		bpf_ringbuf_submit(e, 0);
	u64 *n = bpf_map_lookup_elem(&prefiltered, &zero);
	if (n)
		*n += 1;
	return XDP_DROP;
}

SEC("xdp")
int prefilter(struct xdp_md *ctx)
{
	struct visit v = {};
	u32 zero = 0, rule = 0;

	// What most packets are goes no further than this.
	if (!read_plain(ctx, &v.p, &v.length) || (!no_answer(&v.p) && v.p.protocol != IPPROTO_UDP))
		return XDP_PASS;
	v.now = bpf_ktime_get_coarse_ns();
	const struct prefilter *word = bpf_map_lookup_elem(&prefilters, &zero);
	int straight = word && v.now / SECOND < *(volatile u32 *)&word->straight;
	if ((v.p.protocol == IPPROTO_UDP && !straight) || !find_receiver(&v))
		return XDP_PASS;
	v.from = normalise(&v.key, &v.p);
	v.me = !v.from;
	if (known(&v) || ask(&v, v.from, &rule) != DENIED)
		return XDP_PASS;
	if (!straight && !refused(&v))
		return XDP_PASS;
	return drop_early(&v, rule);
}

#endif
