// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The two programs on the host's end of a workload's interface. What the kernel
// calls ingress there comes from the workload, egress goes to it. Each judges for
// its own workload only; a packet between two workloads of one host meets both.
#include "fragments.h"
#include "group.h"
#include "halfopen.h"
#include "judge.h"
#include "names.h"
#include "packet.h"
#include "tally.h"

const char licence[] SEC("license") = "Dual MIT/GPL";

// Everything one packet's visit needs.
struct visit {
	struct packet p;
	struct flow_key key;
	const struct endpoint *endpoint;
	u64 now;
	u32 set;
	u32 generation;
	u32 flows;
	u32 length;
	u32 ifindex;
	u32 direct;  // until when shortcuts hold
	u64 cookie;  // of the sender's socket, where it is not the packet's
	u8 outbound; // from the workload
	u8 from;     // which end of the key sent the packet
	u8 me;       // which end of the key is our workload
	u8 initiator;
	u8 grouped; // the workload is a cgroup of this host
};

static always_inline u8 direction_of(u8 me, u8 initiator) { return me == initiator ? EGRESS : INGRESS; }

// payer is in whose budget a packet is: in that of who sent it, if that is a workload of
// this host. It may have used up its own, and must not use up its receiver's.
static noinline u32 payer(const struct visit *v)
{
	u32 own = v->endpoint->workload;
	return v->outbound ? own : workload_at(&v->set, &v->p.from, own);
}

// sample makes an event for a row whose count is a power of two; 0: none is sent.
static always_inline struct event *sample(const struct visit *v, const struct tally_key *row, u64 times, u32 rule)
{
	if (!times || (times & (times - 1)))
		return 0;
	struct usage *u = usage_of(payer(v));
	if (!u || !may_tell(u, v->now)) {
		count(LOST_EVENTS);
		return 0;
	}
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count(LOST_EVENTS);
		return 0;
	}
	e->time = v->now;
	e->count = times;
	e->cookie = v->cookie;
	e->from = v->p.from;
	e->to = v->p.to;
	e->workload = row->workload;
	e->rule = rule;
	e->length = v->length;
	e->from_port = v->p.ports[0];
	e->to_port = v->p.ports[1];
	e->protocol = v->p.protocol;
	e->direction = row->way & 1;
	e->verdict = (row->way >> 1) & 3;
	e->reason = row->way >> 3;
	e->zero = 0;
	return e;
}

// tell sends an event, if one is due.
static noinline void tell(struct __sk_buff *skb, const struct visit *v, const struct tally_key *row, u64 times, u32 rule)
{
	struct event *e = sample(v, row, times, rule);
	if (!e)
		return;
	if (v->outbound && !e->cookie)
		e->cookie = bpf_get_socket_cookie(skb);
	bpf_ringbuf_submit(e, 0);
}

// drop_row is the row of packets that do not pass. The peer is always the other end,
// the port always the one that the packet is for.
static always_inline void drop_row(const struct visit *v, u32 reason, struct tally_key *row)
{
	row->peer = v->outbound ? v->p.to : v->p.from;
	row->workload = v->endpoint->workload;
	row->port = v->p.echo ? 0 : v->p.ports[1];
	row->protocol = v->p.protocol;
	row->way = (v->outbound ? EGRESS : INGRESS) | reason << 3;
}

// book_drop books a packet that does not pass, as a flow of one packet: that it is one
// is not counted again. Answers how many the row has.
static always_inline u64 book_drop(const struct visit *v, const struct tally_key *row, u32 rule)
{
	struct amounts a = {.flows = 1, .bytes = v->length, .now = v->now, .rule = rule, .slot = v->flows, .set = v->set, .inbound = !v->outbound};

	count(row->way >> 3);
	return add(row, &a);
}

static noinline int drop(struct __sk_buff *skb, const struct visit *v, u32 reason, u32 rule)
{
	struct tally_key row;

	drop_row(v, reason, &row);
	tell(skb, v, &row, book_drop(v, &row, rule), rule);
	return TCX_DROP;
}

// book adds to the row of one end of a flow.
noinline u64 book(const struct flow_key *key, u32 workload, u32 end_and_initiator, u32 verdict, const struct amounts *a)
{
	if (!key || !a)
		return 0;
	u8 end = end_and_initiator & 1, initiator = end_and_initiator >> 1 & 1;
	struct tally_key row = {
		.workload = workload,
		.protocol = key->protocol,
		.way = direction_of(end, initiator) | verdict << 1,
	};
	row.peer = end ? key->ends[0] : key->ends[1];
	if (key->protocol != IPPROTO_ICMP)
		row.port = initiator ? key->ports[0] : key->ports[1];
	return add(&row, a);
}

// fold moves what a flow has counted, and what else is given, to the rows of both
// its ends.
noinline int fold(const struct flow_key *key, struct flow *f, struct amounts *a)
{
	if (!key || !f || !a)
		return 0;
	a->packets += __sync_lock_test_and_set(&f->packets[0], 0) + __sync_lock_test_and_set(&f->packets[1], 0);
	a->bytes += __sync_lock_test_and_set(&f->bytes[0], 0) + __sync_lock_test_and_set(&f->bytes[1], 0);
	if (!a->packets && !a->answered)
		return 0;
	u8 initiator = f->initiator << 1;
	if (f->workload[0])
		book(key, f->workload[0], initiator, f->verdict[0], a);
	if (f->workload[1])
		book(key, f->workload[1], initiator | 1, f->verdict[1], a);
	return 0;
}

static always_inline u32 owner(const struct flow *f)
{
	u32 opened = f->initiator ? f->workload[1] : f->workload[0];
	u32 other = f->initiator ? f->workload[0] : f->workload[1];
	return opened ? opened : other;
}

// charge moves a flow from one budget to another: the end that opened it may be looked
// at later than the other, where its interface is attached later.
static noinline void charge(u32 before, u32 after)
{
	if (before == after)
		return;
	struct usage *u = usage_of(after);
	if (u)
		__sync_fetch_and_add(&u->established, 1);
	u = bpf_map_lookup_elem(&usages, &before);
	if (u)
		__sync_fetch_and_sub(&u->established, 1);
}

// is_full says whether a workload has used up its budget. A count below zero, which
// nothing should bring about, must not cut it off.
static always_inline int is_full(const struct usage *u) { return (s64)u->established >= (s64)limit_established; }

// forget takes a flow out of the established ones. Only who really removed it
// gives its place in the workload's budget back.
static always_inline void forget(const struct flow_key *key, u32 workload)
{
	if (bpf_map_delete_elem(&established, key))
		return;
	struct usage *u = bpf_map_lookup_elem(&usages, &workload);
	if (u)
		__sync_fetch_and_sub(&u->established, 1);
}

static always_inline int expired(const struct flow *f, u8 protocol, u64 now)
{
	u64 limit = protocol == IPPROTO_TCP ? timeout_tcp : protocol == IPPROTO_UDP ? timeout_udp : timeout_other;
	return now > f->last && now - f->last > limit * SECOND;
}

// normalise makes the flow's key and says which of its ends sent the packet.
static always_inline u8 normalise(struct flow_key *k, const struct packet *p)
{
	int lower = p->from.d[0] != p->to.d[0]   ? p->from.d[0] < p->to.d[0]
		    : p->from.d[1] != p->to.d[1] ? p->from.d[1] < p->to.d[1]
						 : p->ports[0] <= p->ports[1];

	k->protocol = p->protocol;
	if (lower) {
		k->ends[0] = p->from;
		k->ends[1] = p->to;
		k->ports[0] = p->ports[0];
		k->ports[1] = p->ports[1];
		return 0;
	}
	k->ends[0] = p->to;
	k->ends[1] = p->from;
	k->ports[0] = p->ports[1];
	k->ports[1] = p->ports[0];
	return 1;
}

// is_mine says whether an address belongs to the workload of the interface. A
// process of the host sends from the host's addresses: the kernel sees to that.
static noinline int is_mine(const struct visit *v, const union address *a)
{
	u32 set = v->set;
	if (v->grouped)
		return 1;
	const union address *own = is_mapped(a) ? &v->endpoint->own[0] : &v->endpoint->own[1];
	if (likely(same_address(a, own)))
		return a->d[0] | a->d[1] ? 1 : 0; // :: is nobody's
	void *table = bpf_map_lookup_elem(&addresses, &set);
	if (!table)
		return 0;
	struct peer *p = bpf_map_lookup_elem(table, a);
	return p && p->workload == v->endpoint->workload;
}

// ask judges the flow of the packet as opened by one of its ends.
static noinline u32 ask(const struct visit *v, u8 initiator, u32 *rule)
{
	struct question q = {.set = v->set, .subject = v->endpoint->subject, .protocol = v->p.protocol};
	const union address *other = v->outbound ? &v->p.to : &v->p.from;

	q.direction = direction_of(v->me, initiator);
	if (v->p.protocol != IPPROTO_ICMP)
		q.port = v->from == initiator ? v->p.ports[1] : v->p.ports[0];
	q.identity = find_peer(v->set, other);
	const struct lane *lane = q.direction == EGRESS ? &v->endpoint->lanes[EGRESS] : &v->endpoint->lanes[INGRESS];
	u32 verdict = judge(&q, lane);
	*rule = q.rule;
	return verdict;
}

static always_inline void approve(struct flow *f, const struct visit *v, u32 verdict)
{
	if (v->me) {
		f->workload[1] = v->endpoint->workload;
		f->verdict[1] = verdict;
		f->generation[1] = v->generation;
	} else {
		f->workload[0] = v->endpoint->workload;
		f->verdict[0] = verdict;
		f->generation[0] = v->generation;
	}
}

static always_inline int approved(const struct flow *f, const struct visit *v)
{
	if (v->me)
		return f->workload[1] == v->endpoint->workload && f->generation[1] == v->generation;
	return f->workload[0] == v->endpoint->workload && f->generation[0] == v->generation;
}

// sender_is_local: then the sender's own hook has counted the packet.
static always_inline int counted_before(const struct flow *f, const struct visit *v)
{
	return !v->outbound && (v->from ? f->workload[1] : f->workload[0]);
}

static always_inline void account(struct flow *f, const struct visit *v)
{
	// Written only when it changes: a line that many processors share.
	if (f->last != v->now)
		f->last = v->now;
	if (counted_before(f, v))
		return;
	if (v->from) {
		__sync_fetch_and_add(&f->packets[1], 1);
		__sync_fetch_and_add(&f->bytes[1], v->length);
	} else {
		__sync_fetch_and_add(&f->packets[0], 1);
		__sync_fetch_and_add(&f->bytes[0], v->length);
	}
}

// finish moves a flow that ended back to the table that cleans itself, where the
// last packets of both sides still find their approval.
static noinline void finish(const struct visit *v, struct flow *f)
{
	struct amounts a = {.now = v->now, .slot = v->flows};
	fold(&v->key, f, &a);
	struct flow copy = *f;
	copy.closed = 1;
	copy.packets[0] = copy.packets[1] = copy.bytes[0] = copy.bytes[1] = 0;
	keep_half_open(&v->key, &copy, v->now);
	forget(&v->key, owner(&copy));
}

static always_inline void watch_end(const struct visit *v, struct flow *f)
{
	if (likely(v->p.protocol != IPPROTO_TCP || !(v->p.flags & (TCP_FIN | TCP_RST))))
		return;
	if (v->from)
		f->finished[1] = 1;
	else
		f->finished[0] = 1;
	if ((v->p.flags & TCP_RST) || (f->finished[0] && f->finished[1]))
		finish(v, f);
}

// answers says whether a packet can only be an answer: the flow was opened by a SYN before
// it, and counted then. Else who sends answers to nothing would make their receivers look
// as if they had opened flows.
static always_inline int answers(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && (p->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
}

// judge_again is for a flow that is known, but not approved by our workload under
// the policy of now. answered: both ends have spoken before.
static noinline int judge_again(struct __sk_buff *skb, struct visit *v, struct flow *f, u32 answered)
{
	u32 rule = 0;
	if (v->outbound && !is_mine(v, &v->p.from))
		return drop(skb, v, REASON_SPOOFED, 0);
	u8 initiator = f->initiator & 1;
	u32 verdict = ask(v, initiator, &rule);
	if (verdict == DENIED)
		return drop(skb, v, REASON_DENIED, rule);
	int seen = v->me ? f->workload[1] == v->endpoint->workload : f->workload[0] == v->endpoint->workload;
	approve(f, v, verdict);
	count(verdict == AUDITED ? REASON_AUDITED : REASON_ALLOWED);
	if (seen)
		return TCX_NEXT;
	// The first time at this end: the other end's hook has made the entry.
	struct amounts a = {
		.flows = !answers(&v->p),
		.answered = answered,
		.now = v->now,
		.rule = rule,
		.slot = v->flows,
		.set = v->set,
		.inbound = !v->outbound,
	};
	struct tally_key row = {
		.workload = v->endpoint->workload,
		.protocol = v->p.protocol,
		.way = direction_of(v->me, initiator) | verdict << 1,
	};
	row.peer = v->outbound ? v->p.to : v->p.from;
	if (v->p.protocol != IPPROTO_ICMP)
		row.port = v->from == initiator ? v->p.ports[1] : v->p.ports[0];
	tell(skb, v, &row, add(&row, &a), rule);
	return TCX_NEXT;
}

// open_flow judges the first packet of a flow.
static noinline int open_flow(struct __sk_buff *skb, struct visit *v)
{
	u8 flags = v->p.flags, initiator = v->from;
	int tcp = v->p.protocol == IPPROTO_TCP, syn = tcp && (flags & TCP_SYN);
	u32 rule = 0;

	if (v->outbound && !is_mine(v, &v->p.from))
		return drop(skb, v, REASON_SPOOFED, 0);
	// A SYN+ACK is an answer by its nature, whatever we remember.
	if (answers(&v->p))
		initiator = !v->from;
	u32 verdict = ask(v, initiator, &rule);
	if (verdict == DENIED && tcp && !syn && v->now < v->endpoint->adopt) {
		u32 other = 0;
		u32 second = ask(v, !v->from, &other);
		if (second != DENIED) {
			initiator = !v->from;
			verdict = second;
			rule = other;
		}
	}
	if (verdict == DENIED)
		return drop(skb, v, REASON_DENIED, rule);
	count(verdict == AUDITED ? REASON_AUDITED : REASON_ALLOWED);

	struct amounts a = {
		.flows = 1,
		.packets = 1,
		.bytes = v->length,
		.now = v->now,
		.rule = rule,
		.slot = v->flows,
		.set = v->set,
		.inbound = !v->outbound,
	};
	// The end of a flow that is forgotten already is no flow.
	int late = tcp && !syn && (flags & (TCP_FIN | TCP_RST));
	if (late || answers(&v->p))
		a.flows = 0;
	struct tally_key row = {
		.workload = v->endpoint->workload,
		.protocol = v->p.protocol,
		.way = direction_of(v->me, initiator) | verdict << 1,
	};
	row.peer = v->outbound ? v->p.to : v->p.from;
	if (v->p.protocol != IPPROTO_ICMP)
		row.port = v->from == initiator ? v->p.ports[1] : v->p.ports[0];
	u64 times = add(&row, &a);
	if (late)
		return TCX_NEXT;
	struct usage *u = usage_of(payer(v));
	if (!u || !may_open(u, v->now)) {
		count(LOST_BUDGET);
	} else {
		struct flow f = {.last = v->now, .initiator = initiator};
		approve(&f, v, verdict);
		if (v->from)
			f.spoken[1] = 1;
		else
			f.spoken[0] = 1;
		keep_half_open(&v->key, &f, v->now);
	}
	tell(skb, v, &row, times, rule);
	return TCX_NEXT;
}

// promote moves a flow on which both ends have spoken to the established ones.
static noinline int promote(struct visit *v, struct flow *f)
{
	struct flow copy = *f;
	struct usage *u = usage_of(owner(&copy));

	if (!u || is_full(u)) {
		count(LOST_BUDGET);
		return 0;
	}
	copy.packets[0] = copy.packets[1] = copy.bytes[0] = copy.bytes[1] = 0;
	copy.last = v->now;
	if (bpf_map_update_elem(&established, &v->key, &copy, BPF_NOEXIST)) {
		count(LOST_ESTABLISHED);
		return 0;
	}
	__sync_fetch_and_add(&u->established, 1);
	struct flow *e = bpf_map_lookup_elem(&established, &v->key);
	if (e) {
		account(e, v);
		struct amounts a = {.answered = 1, .now = v->now, .slot = v->flows};
		fold(&v->key, e, &a);
	}
	forget_half_open(&v->key);
	return 1;
}

// half_open_flow is for a packet of a flow that is not, or no longer, established.
static noinline int half_open_flow(struct __sk_buff *skb, struct visit *v, struct flow *f)
{
	int tcp = v->p.protocol == IPPROTO_TCP, syn = tcp && (v->p.flags & TCP_SYN);

	if (!approved(f, v)) {
		int answer = judge_again(skb, v, f, 0);
		if (answer != TCX_NEXT)
			return answer;
	} else {
		count(REASON_ESTABLISHED);
	}
	f->last = v->now;
	if (v->from)
		f->spoken[1] = 1;
	else
		f->spoken[0] = 1;
	struct amounts a = {.packets = 1, .bytes = v->length, .now = v->now, .slot = v->flows};
	if (f->closed) {
		if (!counted_before(f, v))
			fold(&v->key, f, &a);
		return TCX_NEXT;
	}
	if (tcp && (v->p.flags & TCP_RST))
		f->closed = 1;
	else if (!syn && f->spoken[0] && f->spoken[1] && promote(v, f))
		return TCX_NEXT;
	a.set = v->set;
	a.inbound = !v->outbound;
	u8 ends = v->me | f->initiator << 1;
	book(&v->key, v->endpoint->workload, ends, v->me ? f->verdict[1] : f->verdict[0], &a);
	return TCX_NEXT;
}

// shortcut hands a packet of a flow that both workloads have approved to the other
// one's interface, past the host's own stack: what a router does to the header is
// done here. What a router does otherwise (answer that a packet is too old or too
// large, read options) is left to it. The agent says for how long nothing on the way
// that is saved looks at packets.
static noinline int shortcut(struct __sk_buff *skb, struct visit *v, const struct flow *f)
{
	u32 other = v->me ? f->workload[0] : f->workload[1];
	u32 generation = v->me ? f->generation[0] : f->generation[1];
	u32 plain = v->p.version == 4 ? 34 : 54;
	u8 head[26];

	if (!other || generation != v->generation || v->now / SECOND >= v->direct)
		return TCX_NEXT;
	if (v->p.l3 != 14 || v->p.l4 != plain || v->p.hops <= 1 || skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return TCX_NEXT;
	const struct neighbour *own = bpf_map_lookup_elem(&neighbours, &v->p.from);
	if (!own || own->ifindex != v->ifindex)
		return TCX_NEXT;
	if (v->p.ports[0] == NAME_SERVICE)
		return TCX_NEXT; // the other end's hook may have to hold it
	const struct neighbour *n = bpf_map_lookup_elem(&neighbours, &v->p.to);
	if (!n || n->workload != other || n->mtu < own->mtu)
		return TCX_NEXT;
	if (bpf_skb_load_bytes(skb, 0, head, sizeof(head)))
		return TCX_NEXT;
	__builtin_memcpy(head, n->to, 6);
	__builtin_memcpy(head + 6, n->from, 6);
	if (v->p.version == 4) {
		// RFC 1624: the sum over the header changes by what the field does.
		u32 sum = ((u32)head[24] << 8 | head[25]) + 0x0100;
		sum += sum >= 0xffff;
		head[24] = sum >> 8;
		head[25] = sum;
		head[22]--;
	} else {
		head[21]--;
	}
	if (bpf_skb_store_bytes(skb, 0, head, sizeof(head), 0))
		return TCX_DROP;
	count(REASON_REDIRECTED);
	return bpf_redirect_peer(n->ifindex, 0);
}

// related is for ICMP errors: they pass to whom they are about, if the flow is one that
// this workload was allowed. 1: yes.
static noinline int related(struct __sk_buff *skb, struct visit *v)
{
	struct packet inner = {};
	struct flow_key key = {};

	// The error goes to who sent the packet that it is about, and to nobody else: what it
	// quotes is a claim.
	if (read_inner(skb, &v->p, &inner) || !same_address(&v->p.to, &inner.from))
		return 0;
	u8 from = normalise(&key, &inner);
	u8 me = v->outbound ? !from : from;
	struct flow *f = bpf_map_lookup_elem(&established, &key);
	if (!f)
		f = find_half_open(&key, v->now);
	if (!f)
		return 0;
	u32 workload = me ? f->workload[1] : f->workload[0];
	u32 generation = me ? f->generation[1] : f->generation[0];
	return workload == v->endpoint->workload && generation == v->generation;
}

static always_inline struct fragment fragment_of(const struct visit *v)
{
	return (struct fragment){
		.from = v->p.from,
		.to = v->p.to,
		.id = v->p.fragment,
		.ifindex = v->ifindex,
		.ports = {v->p.ports[0], v->p.ports[1]},
		.protocol = v->p.protocol,
	};
}

// find_fragment gives a later fragment the ports of the first.
static noinline int find_fragment(struct visit *v)
{
	struct fragment later = fragment_of(v);
	if (!look_fragment(&later, payer(v), v->outbound))
		return 0;
	v->p.ports[0] = later.ports[0];
	v->p.ports[1] = later.ports[1];
	return 1;
}

static noinline void remember_fragment(const struct visit *v)
{
	struct fragment first = fragment_of(v);
	keep_fragment(&first, payer(v), v->outbound);
}

// stays_on_link says whether a message of neighbour discovery goes no further than the
// link. A router forwards one like any other packet where both its ends are of a wider
// scope (RFC 4007, 9): so it must be what it can be only here, a question after the
// address that it goes to or an answer, with nothing in it but its sender's link-layer
// address (RFC 4861, 4.3, 4.4, 4.6.1).
static noinline int stays_on_link(struct __sk_buff *skb, const struct visit *v)
{
	struct {
		u32 head[2];
		union address target;
		u8 option[8];
	} m = {};
	u8 link[6];
	const union address *from = &v->p.from;
	u32 size = skb->len - v->p.l4;

	if (is_link_scope(&v->p.to) || is_link_local(from) || !(from->d[0] | from->d[1]))
		return 1;
	if ((v->p.type != 135 && v->p.type != 136) || v->p.l4 != v->p.l3 + sizeof(struct ipv6))
		return 0;
	if (size == sizeof(m)) {
		if (bpf_skb_load_bytes(skb, v->p.l4, &m, sizeof(m)) || bpf_skb_load_bytes(skb, 6, link, sizeof(link)))
			return 0;
		if (m.option[0] != v->p.type - 134 || m.option[1] != 1 || __builtin_memcmp(m.option + 2, link, sizeof(link)))
			return 0;
	} else if (size != sizeof(m) - sizeof(m.option) || bpf_skb_load_bytes(skb, v->p.l4, &m, sizeof(m) - sizeof(m.option))) {
		return 0;
	}
	return v->p.type == 136 || same_address(&m.target, &v->p.to);
}

// neighbourly checks what a workload says of the link: it may speak for its own
// addresses only, and is no router.
static noinline int neighbourly(struct __sk_buff *skb, struct visit *v)
{
	union address a = {};

	if (!v->outbound)
		return 1;
	if (v->p.kind == KIND_ARP) {
		u8 b[18]; // RFC 826: types, sizes, operation, the sender's two addresses
		if (bpf_skb_load_bytes(skb, v->p.l3, b, sizeof(b)) || b[4] != 6 || b[5] != 4)
			return 0;
		u32 sender;
		__builtin_memcpy(&sender, b + 14, 4);
		map_ipv4(&a, sender);
		return !sender || is_mine(v, &a);
	}
	if (v->p.type == 134 || v->p.type == 137)
		return 0;
	// Who asks is believed too: others note the link-layer address of the source.
	const union address *from = &v->p.from;
	if ((from->d[0] | from->d[1]) && !is_link_local(from) && !is_mine(v, from))
		return 0;
	if (v->p.type != 136)
		return 1;
	if (bpf_skb_load_bytes(skb, v->p.l4 + 8, &a, sizeof(a)))
		return 0;
	return is_link_local(&a) || is_mine(v, &a);
}

// unusual is for what is no plain packet of a flow. Answers TCX_PASS when the
// packet is to be looked up like any other.
static noinline int unusual(struct __sk_buff *skb, struct visit *v)
{
	const struct lane *lane = &v->endpoint->lanes[v->outbound ? EGRESS : INGRESS];

	switch (v->p.kind) {
	case KIND_NEIGHBOUR:
		if (!stays_on_link(skb, v))
			return TCX_PASS; // a message of ICMP like others
		// fall through
	case KIND_ARP:
		if (!neighbourly(skb, v))
			return drop(skb, v, REASON_SPOOFED, 0);
		count(REASON_NEIGHBOUR);
		return TCX_NEXT;
	case KIND_ERROR:
		if (v->outbound && !is_mine(v, &v->p.from))
			return drop(skb, v, REASON_SPOOFED, 0);
		if (!related(skb, v))
			return TCX_PASS;
		count(REASON_RELATED);
		return TCX_NEXT;
	case KIND_FRAGMENT:
		if (find_fragment(v))
			return TCX_PASS;
		if (v->outbound && !is_mine(v, &v->p.from))
			return drop(skb, v, REASON_SPOOFED, 0);
		if (lane->strict)
			return drop(skb, v, REASON_FRAGMENT, 0);
		break;
	case KIND_OTHER:
		if (lane->closed)
			return drop(skb, v, REASON_PROTOCOL, 0);
		break;
	default:
		if (lane->strict)
			return drop(skb, v, REASON_MALFORMED, 0);
	}
	count(REASON_ALLOWED);
	return TCX_NEXT;
}

// read_control notes which policy counts at this moment.
static always_inline int read_control(struct visit *v)
{
	u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	if (!c)
		return 0;
	u64 both = *(volatile u64 *)c; // generation and set belong together
	v->generation = both;
	v->set = both >> 32 & 1;
	v->flows = c->flows;
	v->direct = *(volatile u32 *)&c->direct;
	return 1;
}

// enter finds the policy for v's interface.
static always_inline int enter(struct visit *v)
{
	if (!read_control(v))
		return TCX_DROP;
	void *table = bpf_map_lookup_elem(&endpoints, &v->set);
	if (table)
		v->endpoint = bpf_map_lookup_elem(table, &v->ifindex);
	if (!v->endpoint) {
		count(REASON_INTERFACE);
		return TCX_DROP;
	}
	return TCX_NEXT;
}

// opened says whether our workload has opened the flow of a packet.
static noinline int opened(const struct visit *v)
{
	struct flow *f = bpf_map_lookup_elem(&established, &v->key);
	if (!f)
		f = find_half_open(&v->key, v->now);
	return f && f->initiator == v->me;
}

// name_seen is for what passes to a name service or from one. 1: it is held. Over
// TCP a message comes in a segment that is pushed, and the service's SYN+ACK says where
// the first begins; others have nothing to read. What others send from that port in flows
// that they opened is no answer, nor is what they are told a question: they must not use
// up what the workload may have copied.
static noinline int name_seen(struct __sk_buff *skb, const struct visit *v)
{
	int pushed = v->p.protocol == IPPROTO_UDP || (v->p.protocol == IPPROTO_TCP && (v->p.flags & TCP_PSH));

	if (!pushed && (v->outbound || v->p.protocol != IPPROTO_TCP || !(v->p.flags & TCP_SYN)))
		return 0;
	if (!opened(v))
		return 0;
	struct message m = {
		.time = v->now,
		.from = v->p.from,
		.to = v->p.to,
		.workload = v->endpoint->workload,
		.ifindex = v->ifindex,
		.l4 = v->p.l4,
		.ports = {v->p.ports[0], v->p.ports[1]},
		.protocol = v->p.protocol,
		.version = v->p.version,
		.outbound = v->outbound,
		.held = pushed && !v->outbound && v->endpoint->lanes[EGRESS].named,
	};
	return tell_name(skb, &v->p, &m);
}

#ifdef BENCH
static u32 bench_flow;
#endif

// decide says what becomes of a packet of a flow.
static always_inline int decide(struct __sk_buff *skb, struct visit *v, const u8 outbound, const u8 direct)
{
	v->from = normalise(&v->key, &v->p);
	v->me = outbound ? v->from : !v->from;

	int answer = TCX_NEXT;
	struct flow *f = bpf_map_lookup_elem(&established, &v->key);
	int opens = v->p.protocol == IPPROTO_TCP ? (v->p.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN : v->p.echo == ECHO_REQUEST;
	if (likely(f != 0)) {
		if (unlikely(expired(f, v->p.protocol, v->now) || (opens && f->initiator != v->from))) {
			finish(v, f);
			answer = open_flow(skb, v);
		} else {
			if (unlikely(!approved(f, v))) {
				u32 before = owner(f);
				answer = judge_again(skb, v, f, 1);
				if (answer != TCX_NEXT)
					return answer;
				charge(before, owner(f));
			} else {
				count(REASON_ESTABLISHED);
			}
			account(f, v);
			watch_end(v, f);
			if (direct && f->workload[0] && f->workload[1])
				answer = shortcut(skb, v, f);
		}
	} else {
		f = find_half_open(&v->key, v->now);
		if (f && v->now - f->last < timeout_half_open * SECOND && !(opens && (f->closed || f->initiator != v->from)))
			answer = half_open_flow(skb, v, f);
		else
			answer = open_flow(skb, v);
	}
	if (unlikely(v->p.first) && answer != TCX_DROP)
		remember_fragment(v);
	return answer;
}

static always_inline int handle(struct __sk_buff *skb, const u8 way)
{
	const u8 outbound = way & 1;
	struct visit v = {.outbound = outbound, .ifindex = skb->ifindex};

	if (enter(&v) == TCX_DROP || !v.endpoint)
		return TCX_DROP;
	read_packet(skb, &v.p);
	v.length = skb->len - (v.p.l3 ? v.p.l3 : 0);
	v.now = bpf_ktime_get_coarse_ns();
	if (unlikely(v.p.kind)) {
		int answer = unusual(skb, &v);
		if (answer != TCX_PASS)
			return answer;
	}
#ifdef BENCH
	if (way & 2) {
		u32 n = bench_flow++;
		v.p.ports[0] = n;
		v.p.ports[1] = n >> 16;
	}
#endif
	int answer = decide(skb, &v, outbound, outbound);
	if (unlikely(v.p.ports[outbound] == NAME_SERVICE) && answer != TCX_DROP && name_seen(skb, &v))
		return TCX_DROP;
	return answer;
}

SEC("tcx/ingress")
int from_workload(struct __sk_buff *skb) { return handle(skb, 1); }

SEC("tcx/egress")
int to_workload(struct __sk_buff *skb) { return handle(skb, 0); }

// handle_group judges a packet of a process of the host. Loopback is the host's own.
static always_inline int handle_group(struct __sk_buff *skb, const u8 outbound)
{
	struct visit v = {.outbound = outbound, .grouped = 1};

	v.ifindex = group_of_packet(skb);
	if (!v.ifindex)
		return GROUP_PASS;
	if (enter(&v) == TCX_DROP || !v.endpoint)
		return GROUP_DROP;
	read_socket_packet(skb, &v.p);
	if (is_loopback(&v.p.from) || is_loopback(&v.p.to))
		return GROUP_PASS;
	v.length = skb->len;
	v.now = bpf_ktime_get_coarse_ns();
	if (unlikely(v.p.kind)) {
		int answer = unusual(skb, &v);
		if (answer != TCX_PASS)
			return answer == TCX_DROP ? GROUP_DROP : GROUP_PASS;
	}
	return decide(skb, &v, outbound, 0) == TCX_DROP ? GROUP_DROP : GROUP_PASS;
}

SEC("cgroup_skb/egress")
int from_group(struct __sk_buff *skb) { return handle_group(skb, 1); }

SEC("cgroup_skb/ingress")
int to_group(struct __sk_buff *skb) { return handle_group(skb, 0); }

struct sweep {
	u64 now;
	u32 flows;
	u32 removed;
};

static long sweep_one(void *map, const struct flow_key *key, struct flow *f, struct sweep *s)
{
	struct flow_key copy = *key;
	struct amounts a = {.now = s->now, .slot = s->flows};

	fold(&copy, f, &a);
	if (!expired(f, copy.protocol, s->now))
		return 0;
	forget(&copy, owner(f));
	s->removed++;
	return 0;
}

// sweep is run by the agent: it folds what the flows have counted, and removes
// those on which nobody spoke for long. Answers how many.
SEC("tcx/ingress")
int sweep_flows(struct __sk_buff *skb)
{
	u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	if (!c)
		return 0;
	struct sweep s = {.now = bpf_ktime_get_coarse_ns(), .flows = c->flows};
	bpf_for_each_map_elem(&established, sweep_one, &s, 0);
	return s.removed;
}

// edit_table is run by the agent: it changes one entry of a table in use, in one
// write.
SEC("tcx/ingress")
int edit_table(struct __sk_buff *skb)
{
	struct edit e;
	if (bpf_skb_load_bytes(skb, 14, &e, sizeof(e)))
		return -1;
	u32 set = e.set & 1;
	void *table;
	if (e.table)
		table = bpf_map_lookup_elem(&addresses, &set);
	else
		table = bpf_map_lookup_elem(&rules, &set);
	if (!table)
		return -1;
	u64 *value = bpf_map_lookup_elem(table, e.key);
	if (value) {
		*(volatile u64 *)value = e.value;
		return 0;
	}
	return bpf_map_update_elem(table, e.key, &e.value, BPF_NOEXIST) ? -1 : 0;
}

// register_flow judges a flow that was there before its packets were looked at, for
// one of its ends, and makes it an established one. A flow that policy denies is made
// too: its next packet is judged by who opened it, and is dropped. Answers what
// became of it.
static noinline int register_flow(struct __sk_buff *skb, struct visit *v, u8 initiator)
{
	u32 workload = v->endpoint->workload, rule = 0;

	struct flow *f = bpf_map_lookup_elem(&established, &v->key);
	if (!f && find_half_open(&v->key, v->now))
		return ADOPT_KNOWN; // a packet was faster
	if (f && ((v->me ? f->workload[1] : f->workload[0]) == workload || (f->initiator & 1) != initiator))
		return ADOPT_KNOWN; // of an earlier look, from this end or the other
	u32 verdict = ask(v, initiator, &rule);
	if (!f) {
		struct flow fresh = {.last = v->now, .initiator = initiator, .spoken = {1, 1}};
		struct usage *u = usage_of(workload);
		if (!u || is_full(u)) {
			count(LOST_BUDGET);
			return ADOPT_FULL;
		}
		if (v->me)
			fresh.workload[1] = workload;
		else
			fresh.workload[0] = workload;
		if (bpf_map_update_elem(&established, &v->key, &fresh, BPF_NOEXIST)) {
			count(LOST_ESTABLISHED);
			return ADOPT_FULL;
		}
		__sync_fetch_and_add(&u->established, 1);
		f = bpf_map_lookup_elem(&established, &v->key);
		if (!f)
			return ADOPT_FULL;
	}
	u32 before = owner(f);
	approve(f, v, verdict);
	charge(before, owner(f));
	if (verdict == DENIED) {
		// Of no generation that is: judged again, and counted when it is dropped.
		if (v->me)
			f->generation[1] = v->generation - 1;
		else
			f->generation[0] = v->generation - 1;
		return ADOPT_DENIED;
	}
	struct amounts a = {.flows = 1, .answered = 1, .now = v->now, .rule = rule, .slot = v->flows};
	struct tally_key row = {
		.workload = workload,
		.protocol = v->p.protocol,
		.port = v->p.ports[1],
		.way = direction_of(v->me, initiator) | verdict << 1 | REASON_ESTABLISHED << 3,
	};
	row.peer = v->outbound ? v->p.to : v->p.from;
	tell(skb, v, &row, add(&row, &a), rule);
	return ADOPT_TAKEN;
}

// adopt_flow is run by the agent, for flows that it found when it came.
SEC("tcx/ingress")
int adopt_flow(struct __sk_buff *skb)
{
	struct adopted a;
	if (bpf_skb_load_bytes(skb, 14, &a, sizeof(a)))
		return -1;
	u8 initiator = a.initiator & 1, me = a.me & 1;
	struct visit v = {.outbound = me == initiator, .ifindex = a.ifindex, .cookie = a.cookie};

	if (enter(&v) == TCX_DROP || !v.endpoint)
		return -1;
	v.now = bpf_ktime_get_coarse_ns();
	v.key = a.key;
	v.from = initiator;
	v.me = me;
	// As the packet that opened it.
	v.p.protocol = a.key.protocol;
	v.p.from = initiator ? a.key.ends[1] : a.key.ends[0];
	v.p.to = initiator ? a.key.ends[0] : a.key.ends[1];
	v.p.ports[0] = initiator ? a.key.ports[1] : a.key.ports[0];
	v.p.ports[1] = initiator ? a.key.ports[0] : a.key.ports[1];
	return register_flow(skb, &v, initiator);
}

// charge_socket makes room for a socket at the cost of who has it: a cgroup, or a
// process that is in none.
static always_inline void charge_socket(u64 cookie, const struct process *p)
{
	struct socket_place at = {.payer = p->cgroup > 1 ? p->cgroup : 1ULL << 63 | p->pid};
	u32 *count = bpf_map_lookup_elem(&socket_counts, &at.payer);

	if (!count) {
		u32 none = 0;
		bpf_map_update_elem(&socket_counts, &at.payer, &none, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&socket_counts, &at.payer);
		if (!count)
			return;
	}
	at.number = __sync_fetch_and_add(count, 1) % SOCKETS_EACH;
	u64 *before = bpf_map_lookup_elem(&socket_rings, &at);
	if (before)
		bpf_map_delete_elem(&sockets, before);
	bpf_map_update_elem(&socket_rings, &at, &cookie, BPF_ANY);
}

static always_inline u64 remember_socket(struct bpf_sock_addr *s)
{
	u64 cookie = bpf_get_socket_cookie(s);
	struct process p = {
		.cgroup = bpf_get_current_cgroup_id(),
		.pid = bpf_get_current_pid_tgid() >> 32,
		.uid = bpf_get_current_uid_gid(),
	};
	struct process *known = bpf_map_lookup_elem(&sockets, &cookie);

	if (known && known->pid == p.pid && known->cgroup == p.cgroup)
		return cookie;
	if (!known)
		charge_socket(cookie, &p);
	bpf_get_current_comm(p.command, sizeof(p.command));
	bpf_map_update_elem(&sockets, &cookie, &p, BPF_ANY);
	return cookie;
}

// may_connect says early what would become of the first packet of a TCP connection:
// the process is told that it may not, and need not wait for an answer. Of datagrams
// it cannot be said who opened the flow; their sender is told when the packet itself
// is judged.
static always_inline int may_connect(struct bpf_sock_addr *s, const u8 six)
{
	struct visit v = {.outbound = 1, .grouped = 1};
	u32 rule = 0;

	v.cookie = remember_socket(s);
	if (s->protocol != IPPROTO_TCP)
		return GROUP_PASS;
	v.ifindex = group_of_task();
	if (!v.ifindex || enter(&v) == TCX_DROP || !v.endpoint)
		return GROUP_PASS; // nothing is known: the packet itself is judged
	if (six) {
		v.p.to.w[0] = s->user_ip6[0];
		v.p.to.w[1] = s->user_ip6[1];
		v.p.to.w[2] = s->user_ip6[2];
		v.p.to.w[3] = s->user_ip6[3];
	} else {
		map_ipv4(&v.p.to, s->user_ip4);
	}
	if (is_loopback(&v.p.to))
		return GROUP_PASS;
	v.now = bpf_ktime_get_coarse_ns();
	v.p.protocol = IPPROTO_TCP;
	v.p.ports[1] = swap16(s->user_port);
	if (ask(&v, 0, &rule) != DENIED)
		return GROUP_PASS;
	drop((void *)s, &v, REASON_DENIED, rule);
	return GROUP_DROP;
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *s) { return may_connect(s, 0); }

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *s) { return may_connect(s, 1); }

static always_inline int note_sender(struct bpf_sock_addr *s)
{
	remember_socket(s);
	return GROUP_PASS;
}

SEC("cgroup/sendmsg4")
int on_sendmsg4(struct bpf_sock_addr *s) { return note_sender(s); }

SEC("cgroup/sendmsg6")
int on_sendmsg6(struct bpf_sock_addr *s) { return note_sender(s); }

#include "prefilter.h"
