// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Sees what programs give to and get from a library of TLS: probes at its functions,
// in the processes that somebody asked for and no others, tell plaintext to who reads
// the ring. They change nothing.
//
// A connection of the library is followed if it begins as HTTP does. Which socket it
// has is not guessed: it is the one that the thread sends or receives on within the
// call (C), or did just before, if what came is as long as what the call makes of it,
// or the one that the connection names (Go).
#include "plain.h"
#include "request.h"

const char licence[] SEC("license") = "Dual MIT/GPL";

// Of the kernel's types only what is read, found where this kernel has it.
#define KERNEL __attribute__((preserve_access_index))
struct atomic {
	u64 counter;
} KERNEL;
struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	union address skc_v6_daddr;
	union address skc_v6_rcv_saddr;
	struct atomic skc_cookie;
} KERNEL;
struct sock {
	struct sock_common __sk_common;
	u16 sk_type;
} KERNEL;
struct socket {
	struct file *file;
	struct sock *sk;
} KERNEL;
struct file {
	void *private_data;
} KERNEL;
struct fdtable {
	u32 max_fds;
	struct file **fd;
} KERNEL;
struct files_struct {
	struct fdtable *fdt;
} KERNEL;
struct ns_common {
	u32 inum;
} KERNEL;
struct net {
	struct ns_common ns;
} KERNEL;
struct nsproxy {
	struct net *net_ns;
} KERNEL;
struct task_struct {
	int pid;
	int tgid;
	struct files_struct *files;
	struct nsproxy *nsproxy;
} KERNEL;

#define read_kernel(to, from) bpf_probe_read_kernel(to, sizeof(*(to)), __builtin_preserve_access_index(from))

// Registers, by their place in pt_regs. The place must be a constant in the access
// itself, which the compiler would else make one of a variable.
#define at_place(ctx, place)                                                                      \
	({                                                                                        \
		u64 v;                                                                            \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(v) : "r"(ctx), "i"((place) * 8));    \
		v;                                                                                \
	})
#define reg(ctx, amd, arm) (arm64 ? at_place(ctx, arm) : at_place(ctx, amd))
#define C_FIRST(ctx) reg(ctx, 14, 0)   // rdi
#define C_SECOND(ctx) reg(ctx, 13, 1)  // rsi
#define C_FOURTH(ctx) reg(ctx, 11, 3)  // rcx
#define C_RESULT(ctx) reg(ctx, 10, 0)  // rax
// Go's own convention (ABIInternal), which is also how it gives results.
#define GO_FIRST(ctx) reg(ctx, 10, 0)  // rax
#define GO_SECOND(ctx) reg(ctx, 5, 1)  // rbx
#define GO_THIRD(ctx) reg(ctx, 11, 2)  // rcx
#define GOROUTINE(ctx) reg(ctx, 1, 28) // r14

static always_inline struct caller thread(void)
{
	u64 id = bpf_get_current_pid_tgid();
	struct caller c = {.id = id, .process = id >> 32};
	return c;
}

static always_inline struct caller goroutine(void *ctx)
{
	struct caller c = {.id = GOROUTINE(ctx), .process = bpf_get_current_pid_tgid() >> 32, .go = 1};
	return c;
}

static always_inline struct conn *find(u64 conn, struct conn_key *k)
{
	k->conn = conn;
	k->process = bpf_get_current_pid_tgid() >> 32;
	k->zero = 0;
	return bpf_map_lookup_elem(&conns, k);
}

static always_inline u64 number(void)
{
	return bpf_ktime_get_ns() << 4 | (bpf_get_smp_processor_id() & 15);
}

static noinline struct conn *make(const struct conn_key *k)
{
	struct conn fresh = {};

	fresh.id = number();
	if (bpf_map_update_elem(&conns, k, &fresh, BPF_NOEXIST))
		count(FULL, 1);
	return bpf_map_lookup_elem(&conns, k);
}

static always_inline void map_ipv4(union address *to, u32 from)
{
	to->d[0] = 0;
	to->w[2] = 0xffff0000;
	to->w[3] = from;
}

// house notes the socket of a connection. That it is another one means that the
// library uses the same memory for another connection.
static noinline int house(struct conn *c, const struct sock *sk, u64 cookie)
{
	u16 family = 0, port = 0;
	u32 v4;

	if (!c || c->socket == (u64)sk)
		return 0;
	if (read_kernel(&family, &sk->__sk_common.skc_family) || (family != 2 && family != 10))
		return -1;
	if (c->socket) {
		c->id = number();
		c->state = FRESH;
		__builtin_memset(c->sides, 0, sizeof(c->sides));
	}
	c->socket = (u64)sk;
	c->cookie = cookie;
	if (!cookie)
		read_kernel(&c->cookie, &sk->__sk_common.skc_cookie.counter);
	read_kernel(&c->local_port, &sk->__sk_common.skc_num);
	read_kernel(&port, &sk->__sk_common.skc_dport);
	c->remote_port = swap16(port);
	if (family == 10) {
		read_kernel(&c->local, &sk->__sk_common.skc_v6_rcv_saddr);
		read_kernel(&c->remote, &sk->__sk_common.skc_v6_daddr);
		return 0;
	}
	read_kernel(&v4, &sk->__sk_common.skc_rcv_saddr);
	map_ipv4(&c->local, v4);
	read_kernel(&v4, &sk->__sk_common.skc_daddr);
	map_ipv4(&c->remote, v4);
	return 0;
}

// What becomes of some plaintext.
enum fate {
	TOLD = 0,
	NO_ROOM,     // in the ring
	OUT_OF_REACH, // the memory cannot be read, or not yet
	UNWANTED,
};

// recognise decides what a connection is by its first bytes.
static noinline int recognise(struct conn *c, u64 at, u32 n, u8 written)
{
	u8 b[16] = {};
	u64 w, known = ~0ULL;

	if (!c)
		return UNWANTED;
	if (n > 9)
		n = 9;
	if (bpf_probe_read_user(b, n, (void *)at))
		return OUT_OF_REACH;
	w = *(u64 *)b;
	if (n < 8)
		known = (1ULL << (8 * (n & 7))) - 1;
	c->client = written;
	c->turn = w == HTTP2 ? turn_http2 : turn_http1;
	// A server of HTTP/2 may speak first: SETTINGS on stream 0 (RFC 9113, 6.5).
	if (n == 9 && !b[0] && !b[1] && b[3] == 4 && !b[4] && !b[5] && !b[6] && !b[7] && !b[8]) {
		c->client = !written;
		c->turn = turn_http2;
	} else if (!is_request(w, known)) {
		c->state = IGNORED;
		count(OTHERS, 1);
		return UNWANTED;
	}
	c->state = FOLLOWED;
	c->last = written;
	c->sides[0].budget = c->sides[1].budget = c->turn;
	count(CONNS, 1);
	return TOLD;
}

static always_inline void describe(struct plain *p, const struct conn *c, const struct conn_key *k)
{
	p->id = c->id;
	p->time = bpf_ktime_get_ns();
	p->cookie = c->cookie;
	p->conn = k->conn;
	p->local = c->local;
	p->remote = c->remote;
	p->local_port = c->local_port;
	p->remote_port = c->remote_port;
	p->process = k->process;
	p->thread = bpf_get_current_pid_tgid();
}

// Records come in sizes: the ring takes room by constants only.
#define TELL(name, room)                                                        \
	static noinline int name(const struct plain *head, u64 at)              \
	{                                                                       \
		struct {                                                        \
			struct plain head;                                      \
			u8 data[room];                                          \
		} *r = bpf_ringbuf_reserve(&pieces, sizeof(*r), 0);             \
		if (!r)                                                         \
			return NO_ROOM;                                         \
		u32 n = head->length;                                           \
		r->head = *head;                                                \
		if (n > room || bpf_probe_read_user(r->data, n, (void *)at)) {  \
			bpf_ringbuf_discard(r, NO_WAKEUP);                      \
			return OUT_OF_REACH;                                    \
		}                                                               \
		bpf_ringbuf_submit(r, wake());                                  \
		return TOLD;                                                    \
	}

enum { CHUNK = 16384, CHUNKS = 256 };
TELL(tell_small, 256)
TELL(tell_middle, 2048)
TELL(tell_large, CHUNK)

static noinline int tell(const struct plain *head, u64 at)
{
	if (!head)
		return UNWANTED;
	if (head->length <= 256)
		return tell_small(head, at);
	if (head->length <= 2048)
		return tell_middle(head, at);
	return tell_large(head, at);
}

// EARLY is said beside WRITES of what may come into reach later: then that it is not
// is no loss.
enum { EARLY = 2 };

// telling is what is left of some plaintext while it is told in pieces.
struct telling {
	struct plain head; // of the next piece
	u64 at;
	u32 left;
	u8 early;
	u8 stopped; // before it was out of reach
	u16 zero;
};

// tell_next tells a piece, and answers 1 when it was the last.
static long tell_next(u64 i, void *context)
{
	struct telling *t = context;
	u32 n = t->left < CHUNK ? t->left : CHUNK;
	int fate;

	t->head.length = n;
	fate = tell(&t->head, t->at);
	if (fate == OUT_OF_REACH && t->early) {
		t->stopped = 1;
		return 1;
	}
	if (fate) {
		count(fate == NO_ROOM ? LOST : UNREADABLE, 1);
		count(LOST_BYTES, n);
		t->head.skipped += n;
	} else {
		count(PIECES, 1);
		count(BYTES, n);
	}
	t->head.seq += n;
	t->at += n;
	t->left -= n;
	return !t->left;
}

// follow tells what was written or read, and answers how much of it is done with: all,
// or if it came early, what could be read. What does not fit counts as skipped, and so
// the reader knows of it by the next piece that does.
static noinline u32 follow(struct conn *c, const struct conn_key *k, u64 at, u32 n, u8 how)
{
	struct telling t = {.at = at, .early = how & EARLY};
	struct side *side;
	u8 written = how & WRITES;
	int fate = UNWANTED;
	u32 done;

	if (!c || !k)
		return n;
	if (c->state == FRESH)
		fate = recognise(c, at, n, written);
	if (fate == OUT_OF_REACH && (how & EARLY))
		return 0;
	if (fate == OUT_OF_REACH)
		count(UNREADABLE, 1);
	if (c->state != FOLLOWED)
		return n;
	side = written ? &c->sides[1] : &c->sides[0];
	if (c->last != written) {
		c->last = written;
		side->budget = c->turn;
	}
	describe(&t.head, c, k);
	t.head.written = written;
	t.head.client = written == c->client;
	t.head.seq = side->seq;
	t.head.skipped = side->skipped;
	t.left = n < side->budget ? n : side->budget;
	if (t.left)
		bpf_loop(CHUNKS, tell_next, &t, 0);
	done = t.head.seq - side->seq;
	side->budget -= done;
	side->skipped = t.head.skipped;
	if (t.stopped)
		n = done;
	side->seq += n;
	if (done < n) {
		side->skipped += n - done;
		count(SKIPPED, n - done);
	}
	return n;
}

static always_inline struct conn *find_or_make(u64 conn, struct conn_key *k)
{
	struct conn *c = find(conn, k);

	return c ? c : make(k);
}

// enter remembers a call until it returns.
static always_inline void enter(struct caller *who, const struct call *call)
{
	if (bpf_map_update_elem(&calls, who, call, 0))
		count(FULL, 1);
}

// leave tells what of a call was not told before.
static always_inline void leave(struct caller *who, const struct call *call, u64 n)
{
	struct conn_key k;
	struct conn *c = find(call->conn, &k);
	u32 told = call->told;

	if (n > told && n < 1U << 31) {
		if (c)
			follow(c, &k, call->buffer + told, n - told, call->function & WRITES);
		else
			count(LATE, 1);
	}
	bpf_map_delete_elem(&calls, who);
}

// finish is the end of a connection.
static always_inline void finish(u64 conn)
{
	struct conn_key k;
	struct conn *c = find(conn, &k);

	if (!c)
		return;
	if (c->state == FOLLOWED) {
		struct plain *p = bpf_ringbuf_reserve(&pieces, sizeof(*p), 0);
		if (p) {
			__builtin_memset(p, 0, sizeof(*p));
			describe(p, c, &k);
			u8 requests = c->client & 1;
			p->client = 1;
			p->ended = 1;
			p->written = requests;
			p->seq = requests ? c->sides[1].seq : c->sides[0].seq;
			p->other = requests ? c->sides[0].seq : c->sides[1].seq;
			bpf_ringbuf_submit(p, wake());
		} else {
			count(LOST, 1);
		}
	}
	bpf_map_delete_elem(&conns, &k);
}

// What records of TLS have beside plaintext (RFC 8446, 5.2; RFC 5288, 3; RFC 7905, 2):
// a header, a tag, in TLS 1.3 the kind, and with AES-GCM in TLS 1.2 half of the nonce.
enum {
	BESIDE_TLS13 = 5 + 16 + 1,
	BESIDE_GCM = 5 + 16 + 8,
	BESIDE_CHACHA = 5 + 16,
	// A client of TLS 1.3 ends its handshake with a hash of 32 or 48 bytes, and may say
	// before that it changes the cipher (RFC 8446, 4.4.4 and D.4).
	FINISHED = BESIDE_TLS13 + 4,
	CHANGE = 6,
};

// fits says whether so many records with so much plaintext are what came.
static always_inline int fits(u32 came, u32 plaintext, u32 records)
{
	u32 beside = came - plaintext, end = beside - records * BESIDE_TLS13;

	return !end || end == FINISHED + 32 || end == FINISHED + 48 || end == CHANGE + FINISHED + 32 || end == CHANGE + FINISHED + 48 ||
	       beside == records * BESIDE_GCM || beside == records * BESIDE_CHACHA;
}

// overhear finds the socket of a connection that is given memory instead of one: the
// one on which the thread received last, if the records of what was read since are
// just as long as what came.
static noinline int overhear(u64 conn, u32 n)
{
	u64 id = bpf_get_current_pid_tgid(), cookie = 0;
	struct heard *h, none = {};
	struct conn_key k;
	struct conn *c = find(conn, &k);
	struct sock *sk;

	if (c && c->socket)
		return 0;
	h = bpf_map_lookup_elem(&threads, &id);
	if (!h) { // also in the first call, which begins with SSL_clear
		bpf_map_update_elem(&threads, &id, &none, BPF_NOEXIST);
		return 0;
	}
	if (!c || !n || !h->socket)
		return 0;
	if (h->conn && h->conn != conn) {
		h->socket = 0;
		return 0;
	}
	h->conn = conn;
	h->read += n;
	h->records++;
	sk = (struct sock *)h->socket;
	// It may be gone, and its memory another's.
	if (!fits(h->length, h->read, h->records) || read_kernel(&cookie, &sk->__sk_common.skc_cookie.counter) || cookie != h->cookie)
		return 0;
	h->socket = 0;
	return house(c, sk, cookie);
}

// SSL_read(ssl, buffer, length), SSL_write; the same with _ex and where the length is.
SEC("uprobe.multi")
int c_enter(void *ctx)
{
	struct caller who = thread();
	struct call call = {.conn = C_FIRST(ctx), .buffer = C_SECOND(ctx), .length = C_FOURTH(ctx), .function = bpf_get_attach_cookie(ctx)};
	struct conn_key k;

	find_or_make(call.conn, &k);
	enter(&who, &call);
	return 0;
}

SEC("uprobe.multi")
int c_leave(void *ctx)
{
	struct caller who = thread();
	struct call *call = bpf_map_lookup_elem(&calls, &who);
	int result = C_RESULT(ctx);
	u64 n = result > 0 ? result : 0;

	if (!call)
		return 0;
	if (n && (call->function & EXTENDED) && bpf_probe_read_user(&n, sizeof(n), (void *)call->length)) {
		count(UNREADABLE, 1);
		n = 0;
	}
	if (!(call->function & WRITES) && n < 1U << 31)
		overhear(call->conn, n);
	leave(&who, call, n);
	return 0;
}

// SSL_free(ssl), SSL_clear.
SEC("uprobe.multi")
int c_finish(void *ctx)
{
	finish(C_FIRST(ctx));
	return 0;
}

// within is where a socket sends or receives: in a call, it is the connection's.
static always_inline int within(struct sock *sk)
{
	struct caller who = thread();
	struct call *call = bpf_map_lookup_elem(&calls, &who);
	struct conn_key k;
	struct conn *c;

	if (!call)
		return 0;
	c = find(call->conn, &k);
	if (c && c->socket != (u64)sk && sk->sk_type == 1)
		house(c, sk, bpf_get_socket_cookie(sk));
	return 1;
}

enum { PEEK = 2 };

SEC("tp_btf/sock_send_length")
int socket_sends(u64 *ctx)
{
	within((struct sock *)ctx[0]);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int socket_receives(u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	int n = ctx[1], flags = ctx[2];
	u64 id = bpf_get_current_pid_tgid();
	struct heard *h;

	if (within(sk) || n <= 0 || (flags & PEEK))
		return 0;
	h = bpf_map_lookup_elem(&threads, &id);
	if (!h)
		return 0;
	__builtin_memset(h, 0, sizeof(*h));
	if (sk->sk_type == 1) {
		h->socket = (u64)sk;
		h->cookie = bpf_get_socket_cookie(sk);
		h->length = n;
	}
	return 0;
}

// socket_of finds the socket behind a number of the process's files; 0: it is none.
static noinline u64 socket_of(u32 fd)
{
	struct task_struct *t = bpf_get_current_task_btf();
	struct files_struct *files = 0;
	struct fdtable *table = 0;
	struct file **all = 0, *file = 0, *back = 0;
	struct socket *s = 0;
	struct sock *sk = 0;
	u32 max = 0;

	read_kernel(&files, &t->files);
	if (read_kernel(&table, &files->fdt) || read_kernel(&max, &table->max_fds) || fd >= max || read_kernel(&all, &table->fd))
		return 0;
	if (bpf_probe_read_kernel(&file, sizeof(file), all + fd) || !file || read_kernel(&s, (struct socket **)&file->private_data))
		return 0;
	// Only a socket's file has something behind it that leads back to it.
	if (!s || read_kernel(&back, &s->file) || back != file || read_kernel(&sk, &s->sk))
		return 0;
	return (u64)sk;
}

// look finds the socket of a connection of Go: the field conn of tls.Conn is an
// interface, and where it holds a *net.TCPConn, that leads to a net.netFD, which
// begins with a poll.FD (a lock of 16 bytes, then the number of the file).
static noinline int look(struct conn *c, u64 conn, u32 type)
{
	u64 holds[2] = {}, netfd = 0, sk;
	u32 hash = 0;
	long fd = -1;

	if (!c)
		return -1;
	if (bpf_probe_read_user(holds, sizeof(holds), (void *)conn) ||
	    bpf_probe_read_user(&hash, sizeof(hash), (void *)holds[0] + 16) || hash != type ||
	    bpf_probe_read_user(&netfd, sizeof(netfd), (void *)holds[1]) ||
	    bpf_probe_read_user(&fd, sizeof(fd), (void *)netfd + 16) || fd < 0)
		return -1;
	sk = socket_of(fd);
	return sk ? house(c, (struct sock *)sk, 0) : -1;
}

// retract forgets a connection of which nothing is known but what could not be sent:
// it had been closed before, and what comes next in its memory is another one.
static noinline int retract(u64 conn, u32 told)
{
	struct conn_key k;
	struct conn *c = find(conn, &k);

	if (c && !c->sides[0].seq && c->sides[1].seq <= told)
		finish(conn);
	return 0;
}

// begins_again says whether a function of Go begins a second time: where its stack is
// too small, or its goroutine is to make room, it calls the runtime first, and then
// starts over.
static always_inline int begins_again(const struct caller *who, const struct call *call)
{
	struct call *before = bpf_map_lookup_elem(&calls, who);

	return before && before->conn == call->conn && before->buffer == call->buffer && before->length == call->length &&
	       before->function == call->function;
}

// (*tls.Conn).Read(buffer), Write.
//
// What is written is told when the call begins. When it returns, the other end may have
// had it for long: another goroutine may have read the answer, and closed. What is not
// in memory yet is left to the return.
SEC("uprobe.multi")
int go_enter(void *ctx)
{
	struct caller who = goroutine(ctx);
	u64 cookie = bpf_get_attach_cookie(ctx);
	struct call call = {.conn = GO_FIRST(ctx), .buffer = GO_SECOND(ctx), .length = GO_THIRD(ctx), .function = (u32)cookie};
	struct conn_key k;
	struct conn *c;

	if ((call.function & WRITES) && begins_again(&who, &call))
		return 0;
	c = find_or_make(call.conn, &k);
	if (c && c->state == FRESH && !c->socket)
		look(c, call.conn, cookie >> 32);
	if (c && (call.function & WRITES) && call.length && call.length < 1U << 31)
		call.told = follow(c, &k, call.buffer, call.length, WRITES | EARLY);
	enter(&who, &call);
	return 0;
}

// Go's stacks move, so a return is seen where the function returns, not by a changed
// address on the stack.
SEC("uprobe.multi")
int go_leave(void *ctx)
{
	struct caller who = goroutine(ctx);
	struct call *call = bpf_map_lookup_elem(&calls, &who);
	u64 n = GO_FIRST(ctx);

	if (!call)
		return 0;
	u64 conn = call->conn;
	u32 told = call->told;
	leave(&who, call, n);
	if (told && !n)
		retract(conn, told);
	return 0;
}

// (*tls.Conn).Close.
SEC("uprobe.multi")
int go_finish(void *ctx)
{
	finish(GO_FIRST(ctx));
	return 0;
}

static always_inline int wanted(u64 scope) { return bpf_map_lookup_elem(&scopes, &scope) != 0; }

// announce tells of a process that began, if its namespace or a cgroup that it is in
// is one that was asked for.
static always_inline int announce(struct task_struct *t)
{
	u32 *pid;
	int is = wanted(t->nsproxy->net_ns->ns.inum) || wanted(bpf_get_current_cgroup_id() | 1ULL << 63);

	for (int level = 1; !is && level < 8; level++) {
		u64 id = bpf_get_current_ancestor_cgroup_id(level);
		is = id && wanted(id | 1ULL << 63);
	}
	if (!is)
		return 0;
	pid = bpf_ringbuf_reserve(&begun, 8, 0);
	if (!pid)
		return 0; // it is found all the same, later
	*pid = t->tgid;
	bpf_ringbuf_submit(pid, 0);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int process_runs(u64 *ctx) { return announce((struct task_struct *)ctx[0]); }

SEC("tp_btf/sched_process_fork")
int process_forks(u64 *ctx)
{
	struct task_struct *child = (struct task_struct *)ctx[1];

	return child->pid == child->tgid ? announce(child) : 0; // else it is a thread
}
