// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Looks for HTTP in cleartext on an interface and tells its bytes, as many as are
// needed to read it, to who reads the ring. It changes no packet and answers
// TCX_NEXT whatever it sees.
//
// A connection is followed from the first segment on that begins as a request
// does. Until then it has no state here: a packet that is no HTTP costs a look at a
// mark and at eight bytes of payload.
#include "request.h"
#include "streams.h"

const char licence[] SEC("license") = "Dual MIT/GPL";

struct visit {
	union address from;
	union address to;
	u16 ports[2];
	u32 seq;
	u32 at;     // of the payload in the packet
	u32 length; // of the payload
	u8 flags;
	u8 outbound;
	u8 sender;  // which end of the key
	u32 mark;   // the same for both directions
};

static always_inline void map_ipv4(union address *to, u32 from)
{
	to->d[0] = 0;
	to->w[2] = 0xffff0000;
	to->w[3] = from;
}

static always_inline int read_tcp(struct visit *v, const struct tcp *t, u32 at, u32 end)
{
	u32 size = (t->offset >> 4) * 4;

	if (size < 20 || at + size > end)
		return -1;
	v->ports[0] = swap16(t->from);
	v->ports[1] = swap16(t->to);
	v->seq = swap32(t->seq);
	v->flags = t->flags;
	v->at = at + size;
	v->length = end - v->at;
	return 0;
}

static always_inline int load_tcp(struct __sk_buff *skb, struct visit *v, u32 at, u32 end)
{
	struct tcp t;

	if (bpf_skb_load_bytes(skb, at, &t, sizeof(t)))
		return -1;
	return read_tcp(v, &t, at, end);
}

// end_of gives where the packet ends: Ethernet pads short ones, and a length of 0
// is a large packet that was not cut yet (BIG TCP).
static always_inline u32 end_of(const struct __sk_buff *skb, u32 said)
{
	return said > ETHERNET && said < skb->len ? said : skb->len;
}

static always_inline int read_ipv4(struct __sk_buff *skb, struct visit *v, const struct ipv4 *h, void *data_end)
{
	u32 size = (h->version_ihl & 0x0f) * 4;
	u16 length = swap16(h->length);
	u32 end = end_of(skb, length ? ETHERNET + length : 0);

	if (h->protocol != IPPROTO_TCP || (h->version_ihl >> 4) != 4 || size < 20 || (h->fragment & swap16(0x3fff)))
		return -1;
	map_ipv4(&v->from, h->from);
	map_ipv4(&v->to, h->to);
	const struct tcp *t = (const void *)h + sizeof(*h);
	if (likely(size == 20 && (void *)(t + 1) <= data_end))
		return read_tcp(v, t, ETHERNET + 20, end);
	return load_tcp(skb, v, ETHERNET + size, end);
}

// TCP behind extension headers is not looked for.
static always_inline int read_ipv6(struct __sk_buff *skb, struct visit *v, const struct ipv6 *h, void *data_end)
{
	u16 length = swap16(h->length);
	u32 end = end_of(skb, length ? ETHERNET + sizeof(*h) + length : 0);

	if (h->next != IPPROTO_TCP || (h->version_class >> 4) != 6)
		return -1;
	v->from.d[0] = h->from[0];
	v->from.d[1] = h->from[1];
	v->to.d[0] = h->to[0];
	v->to.d[1] = h->to[1];
	const struct tcp *t = (const void *)(h + 1);
	if (likely((void *)(t + 1) <= data_end))
		return read_tcp(v, t, ETHERNET + sizeof(*h), end);
	return load_tcp(skb, v, ETHERNET + sizeof(*h), end);
}

// read_packet says whether it is TCP, and reads it if so.
static always_inline int read_packet(struct __sk_buff *skb, struct visit *v)
{
	void *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;

	if (data + ETHERNET + sizeof(struct ipv4) > end)
		return -1;
	u16 type = swap16(*(u16 *)(data + 12));
	if (likely(type == ETHERTYPE_IPV4))
		return read_ipv4(skb, v, data + ETHERNET, end);
	if (type != ETHERTYPE_IPV6 || data + ETHERNET + sizeof(struct ipv6) > end)
		return -1;
	return read_ipv6(skb, v, data + ETHERNET, end);
}

// normalise writes the key, and says which of its ends is the sender.
static always_inline u8 normalise(struct stream_key *k, const struct visit *v)
{
	int swap = v->from.d[0] != v->to.d[0] ? v->from.d[0] > v->to.d[0] :
		   v->from.d[1] != v->to.d[1] ? v->from.d[1] > v->to.d[1] : v->ports[0] > v->ports[1];

	if (swap) {
		k->ends[0] = v->to;
		k->ends[1] = v->from;
		k->ports[0] = v->ports[1];
		k->ports[1] = v->ports[0];
	} else {
		k->ends[0] = v->from;
		k->ends[1] = v->to;
		k->ports[0] = v->ports[0];
		k->ports[1] = v->ports[1];
	}
	return swap;
}

// hash is the same for both directions of a connection.
static always_inline u32 hash(const struct visit *v)
{
	u32 h = v->from.w[3] ^ v->to.w[3] ^ v->from.w[1] ^ v->to.w[1] ^ (u32)(v->ports[0] ^ v->ports[1]) << 8;

	return h * 0x9e3779b1 >> 17; // Knuth's multiplicative hash, to 15 bits
}

static always_inline void forget(const struct stream_key *key, u32 mark)
{
	if (!bpf_map_delete_elem(&streams, key))
		__sync_fetch_and_add(&marks[mark & (MARKS - 1)], -1);
}

// recognise answers the budget of a connection whose payload begins as a request
// does, or as far as it goes could be one; 0: it does not.
static always_inline u32 recognise(struct __sk_buff *skb, const struct visit *v)
{
	void *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	u64 w = 0, known = ~0ULL;
	u32 at = v->at;

	if (v->length >= 8) {
		if (at > 256)
			return 0;
		if (likely(data + at + 8 <= end))
			w = *(u64 *)(data + at);
		else if (bpf_skb_load_bytes(skb, at, &w, 8))
			return 0;
	} else {
		u32 n = v->length & 7;
		if (!n || bpf_skb_load_bytes(skb, at, &w, n))
			return 0;
		known = (1ULL << (8 * n)) - 1;
	}
	u8 first = w;
	if (first < 'C' || first > 'U')
		return 0;
	if (v->length >= 8 && w == HTTP2)
		return turn_http2;
	if (is_request(w, known))
		return turn_http1;
	return 0;
}

// Records come in sizes: the ring takes room by constants only.
#define TELL(name, room)                                                                                  \
	static noinline int name(struct __sk_buff *skb, const struct segment *head, u32 at)               \
	{                                                                                                 \
		struct {                                                                                  \
			struct segment head;                                                              \
			u8 data[room];                                                                    \
		} *r = bpf_ringbuf_reserve(&segments, sizeof(*r), 0);                                     \
		u32 n = head->length;                                                                     \
		if (!r)                                                                                   \
			return -1;                                                                        \
		r->head = *head;                                                                          \
		if (n > room || (n && bpf_skb_load_bytes(skb, at, r->data, n))) {                         \
			bpf_ringbuf_discard(r, 0);                                                        \
			return -1;                                                                        \
		}                                                                                         \
		bpf_ringbuf_submit(r, 0);                                                                 \
		return 0;                                                                                 \
	}

enum { CHUNK = 16384 };
TELL(tell_small, 256)
TELL(tell_middle, 2048)
TELL(tell_large, CHUNK)

static noinline int tell(struct __sk_buff *skb, const struct segment *head, u32 at)
{
	if (head->length <= 256)
		return tell_small(skb, head, at);
	if (head->length <= 2048)
		return tell_middle(skb, head, at);
	return tell_large(skb, head, at);
}

// tell_payload tells of what a packet carries, in pieces; at least one, which may be
// empty, and the flags with each. What does not fit counts as skipped, and so the
// reader knows of it by the next that does.
static noinline void tell_payload(struct __sk_buff *skb, const struct visit *v, struct stream *s)
{
	struct side *side = v->sender ? &s->sides[1] : &s->sides[0];
	u32 all = v->length < side->budget ? v->length : side->budget, done = 0;
	struct segment head = {
		.id = s->id, .time = bpf_ktime_get_ns(), .cookie = bpf_get_socket_cookie(skb),
		.from = v->from, .to = v->to, .from_port = v->ports[0], .to_port = v->ports[1],
		.ifindex = skb->ifindex, .flags = v->flags, .outbound = v->outbound, .client = v->sender == s->client,
	};

	// A packet is 64 KiB long at most, unless it is a jumbogram.
	for (int i = 0; i < 5; i++) {
		head.length = all - done < CHUNK ? all - done : CHUNK;
		head.seq = v->seq + done;
		head.skipped = side->skipped;
		if (tell(skb, &head, v->at + done)) {
			count(LOST, 1);
			count(LOST_BYTES, head.length);
			side->skipped += head.length;
		} else {
			count(SEGMENTS, 1);
			count(BYTES, head.length);
		}
		done += head.length;
		if (done >= all)
			break;
	}
	side->budget -= done;
	if (done < v->length) {
		side->skipped += v->length - done;
		count(SKIPPED, v->length - done);
	}
}

static noinline void follow(struct __sk_buff *skb, const struct visit *v, const struct stream_key *key, struct stream *s)
{
	struct side *side = v->sender ? &s->sides[1] : &s->sides[0];
	u8 mine = v->sender ? 2 : 1;

	if (v->flags & TCP_SYN) {
		if (!(v->flags & TCP_ACK)) // the ports are used again
			forget(key, v->mark);
		return;
	}
	if (s->state == IGNORED) {
		if (v->flags & (TCP_FIN | TCP_RST))
			forget(key, v->mark);
		return;
	}
	if (!side->ifindex)
		side->ifindex = skb->ifindex;
	else if (side->ifindex != skb->ifindex)
		return;
	if (v->length && s->last != v->sender) {
		s->last = v->sender;
		side->budget = s->turn;
	}
	if (v->length && !side->budget && !(v->flags & (TCP_FIN | TCP_RST))) {
		side->skipped += v->length;
		count(SKIPPED, v->length);
		return;
	}
	tell_payload(skb, v, s);
	if (v->flags & TCP_FIN)
		s->finished |= mine;
	if ((v->flags & TCP_RST) || s->finished == 3)
		forget(key, v->mark);
}

static noinline void begin(struct __sk_buff *skb, const struct visit *v, const struct stream_key *key, u32 turn)
{
	struct stream fresh = {
		.id = bpf_ktime_get_ns(), .client = v->sender, .last = v->sender, .turn = turn,
	};

	fresh.sides[0].budget = fresh.sides[1].budget = turn;
	u32 *mark = &marks[v->mark & (MARKS - 1)];
	__sync_fetch_and_add(mark, 1);
	if (bpf_map_update_elem(&streams, key, &fresh, BPF_NOEXIST)) {
		__sync_fetch_and_add(mark, -1);
		count(FULL, 1);
		return;
	}
	count(STREAMS, 1);
	struct stream *s = bpf_map_lookup_elem(&streams, key);
	if (s)
		follow(skb, v, key, s);
}

// search looks whether a connection that is not followed is to be.
static always_inline void search(struct __sk_buff *skb, struct visit *v, struct stream_key *key)
{
	u32 turn;

	if (!v->length || (v->flags & TCP_SYN))
		return;
	turn = recognise(skb, v);
	if (!turn)
		return;
	v->sender = normalise(key, v);
	begin(skb, v, key, turn);
}

static always_inline int handle(struct __sk_buff *skb, const u8 outbound)
{
	struct visit v = {.outbound = outbound};
	struct stream_key key = {};

	if (read_packet(skb, &v) || (!v.length && !(v.flags & (TCP_SYN | TCP_FIN | TCP_RST))))
		return TCX_NEXT;
	v.mark = hash(&v);
	if (likely(!marks[v.mark & (MARKS - 1)])) {
		search(skb, &v, &key);
		return TCX_NEXT;
	}
	v.sender = normalise(&key, &v);
	struct stream *s = bpf_map_lookup_elem(&streams, &key);
	if (s)
		follow(skb, &v, &key, s);
	else
		search(skb, &v, &key);
	return TCX_NEXT;
}

SEC("tcx/ingress")
int from_workload(struct __sk_buff *skb) { return handle(skb, 1); }

SEC("tcx/egress")
int to_workload(struct __sk_buff *skb) { return handle(skb, 0); }

// nothing is what the others are measured against.
SEC("tcx/ingress")
int nothing(struct __sk_buff *skb) { return TCX_NEXT; }
