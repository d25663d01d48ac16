package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/gabion-io/gabion/api-discovery/learn"
	"github.com/gabion-io/gabion/internal/exchange"
)

// cpu is what this process has used so far. On a machine that others use too it
// says what work costs; a clock would not.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// batch is how many exchanges are decoded before they are folded: as many as wait
// in a busy control plane. To keep all of them would measure the memory.
const batch = 256

// speed measures the door and the learner apart, in CPU time: of exchanges that
// are decoded already, and of ones whose bodies are shapes already.
func speed(w io.Writer, ops []operation, seed uint64, n int) {
	fmt.Fprintf(w, "\n| exchanges | what | CPU µs each | a second and core |\n|---|---|---:|---:|\n")
	for _, bodies := range []bool{false, true} {
		g := newGenerator(ops, styles()[1], seed, 1.1)
		raws := make([]exchange.Raw, n)
		for i := range raws {
			raws[i] = g.next()
			if bodies {
				raws[i].Response.Headers = []exchange.Header{{Name: "Content-Type", Value: "application/json"}}
				raws[i].Response.Body = kilobyte(i)
			}
		}
		door := &exchange.Door{Names: new(exchange.Names)}
		l := learn.New(learn.Limits{})
		runtime.GC()
		var seen, folded time.Duration
		for rest := raws; len(rest) > 0; {
			some := rest[:min(batch, len(rest))]
			rest = rest[len(some):]
			observed := make([]exchange.Observation, len(some))
			start := cpu()
			for i := range some {
				door.Observe(&some[i], &observed[i])
			}
			seen += cpu() - start
			start = cpu()
			for i := range observed {
				l.Add(&observed[i])
			}
			folded += cpu() - start
		}
		start := cpu()
		l.Conclude(nil)
		concluded := cpu() - start
		what := "without bodies"
		if bodies {
			what = "1 KB of JSON"
		}
		row := func(name string, d time.Duration) {
			us := float64(d) / 1000 / float64(n)
			fmt.Fprintf(w, "| %s | %s | %.1f | %.0f |\n", what, name, us, 1e6/us)
		}
		row("door", seen)
		row("learner", folded)
		row("both", seen+folded)
		fmt.Fprintf(w, "| %s | concluding once, all of them | %.0f ms | |\n", what, float64(concluded)/1e6)
	}
}

// kilobyte is a JSON body of about 1 KB.
func kilobyte(i int) []byte {
	return fmt.Appendf(nil, `{"id":%d,"type":"order","status":"open","created_at":"2024-01-31T10:00:00Z","customer":{"id":%d,"name":"Anna Smith","email":"anna%d@example.com","address":{"street":"Main 5","city":"Bern","zip":"3000","country":"CH"}},"items":[{"sku":"A-1","quantity":2,"price":9.5,"title":"A thing of some length","options":{"color":"red","size":"L"}},{"sku":"B-2","quantity":1,"price":19.5,"title":"Another thing","options":{"color":"blue","size":"M"}},{"sku":"C-3","quantity":7,"price":1.25,"title":"A third one","options":null}],"total":47.25,"currency":"CHF","notes":null,"tags":["gift","express","newsletter"],"payment":{"method":"card","brand":"visa","last4":"4242","exp_month":12,"exp_year":2027},"shipping":{"carrier":"post","tracking":"99.00.123456.12345678","estimated":"2024-02-03"},"metadata":{"source":"web","campaign":"winter","session":"0b5e3f0a-9c1d-4e55-8a00-d50f75f0b6fe"},"url":"https://shop.example/orders/123456","comment":"please ring twice at the door, thank you"}`, i, i%977, i)
}

// memory measures what a learner holds with many operations, each seen often and
// with bodies.
func memory(w io.Writer, operations, each int) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	l := learn.New(learn.Limits{})
	door := &exchange.Door{}
	var o exchange.Observation
	for i := range operations * each {
		k := i % operations
		raw := exchange.Raw{Time: time.Unix(1_800_000_000+int64(i), 0), Client: strconv.Itoa(i % 500), Method: []string{"GET", "POST", "PUT", "DELETE"}[k%4], Host: "h", Status: 200,
			Path:     fmt.Sprintf("/%s/%s/things-%c%c/%d?page=%d&q=w%d", dictionary[k/4%50], dictionary[k/200%50], 'a'+k/4%26, 'a'+k/104%26, i*7919, i%9, i),
			Duration: time.Duration(i%997) * time.Millisecond}
		raw.Response = exchange.RawMessage{Headers: []exchange.Header{{Name: "Content-Type", Value: "application/json"}}, Body: kilobyte(i)}
		door.Observe(&raw, &o)
		l.Add(&o)
	}
	o = exchange.Observation{}
	runtime.GC()
	runtime.ReadMemStats(&after)
	found := 0
	for _, s := range l.Conclude(nil) {
		found += len(s.Operations)
	}
	used := float64(after.HeapAlloc) - float64(before.HeapAlloc)
	fmt.Fprintf(w, "\n%d operations found of %d, from %d exchanges with 1 KB of JSON: %.0f MiB, %.1f KiB an operation\n", found, operations, operations*each,
		used/(1<<20), used/1024/float64(operations))
	runtime.KeepAlive(l)
}
