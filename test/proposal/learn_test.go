package proposal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

const day = 24 * time.Hour

// misfire is one critical rule in one variable.
func misfire(rule int, variable, class string) filters.Match {
	return filters.Match{Rule: rule, Variable: variable, Severity: "critical", Score: 5, Phase: 2, Tags: []string{"attack-" + class}, Value: "xx"}
}

// readFrom says that a match's value was read from elsewhere.
func readFrom(how string, m filters.Match) filters.Match {
	m.Read = how
	return m
}

// with makes an event one of these matches, sent to a place.
func with(method, path string, matches ...filters.Match) func(*filters.Event) {
	return func(e *filters.Event) {
		e.Method, e.Path, e.Matches, e.Score = method, path, matches, 5*len(matches)
	}
}

// learner is a bench with a model event and nothing recorded, some days after the
// events to come. Those of one test share the checker, which is what takes long.
func learner(t *testing.T, checker *chain.Checker) (*bench, filters.Event, time.Time) {
	b := newBench(t, source.Store, shopPolicy)
	b.checker = checker
	b.with(func(o *proposal.Options) { o.World = b.world() })
	tables, err := b.o.World.Effective(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	like := filters.Event{Mode: filters.ModeBlock, Decision: filters.Denied, Engine: "waf", Host: "shop.example.com", Route: "default/shop", Policy: "WAFPolicy default/shop"}
	for name, table := range tables {
		for key, binding := range table.Bindings {
			like.Listener, like.Key, like.PolicyID, like.Route, like.Policy = name, key, binding.Policy, binding.Route, binding.Source
		}
	}
	b.with(func(o *proposal.Options) { o.Budget, o.Recordings = 1, nil })
	start := b.now
	b.now = b.now.Add(6 * day)
	return b, like, start
}

func (b *bench) learn() []string {
	b.t.Helper()
	got, err := b.desk.Suggest(context.Background(), proposal.SuggestRules{})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, p := range got.Proposals {
		for _, x := range p.Exclusions {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", x.Rule, x.Target, x.Method, x.Path)))
		}
		out = append(out, "--")
	}
	return out
}

func TestWhatIsLearned(t *testing.T) {
	checker := chain.NewChecker()
	for name, c := range map[string]struct {
		visits func() []visit
		want   []string
	}{
		"rules of one field are one proposal, also those that only come together later": {func() []visit {
			vs := crowd(8, 2*day, func(v *visit) { v.change = with("POST", "/comments", misfire(932235, "ARGS_POST:text", "rce")) })
			vs = append(vs, crowd(8, 3*day, func(v *visit) {
				v.client, v.change = "b"+v.client, with("POST", "/comments", misfire(942350, "ARGS_POST:text", "sqli"))
			})...)
			return append(vs, visit{client: "c.1", at: day, harmless: 9, change: with("POST", "/comments", misfire(932235, "ARGS_POST:text", "rce"), misfire(942350, "ARGS_POST:text", "sqli"))})
		}, []string{"932235 ARGS_POST:text POST /comments", "942350 ARGS_POST:text POST /comments", "--"}},
		"numbers in paths": {func() []visit {
			return crowd(8, 2*day, func(v *visit) {
				v.change = with("POST", "/orders/{number}/comment", misfire(932235, "ARGS_POST:text", "rce"))
			})
		}, []string{"932235 ARGS_POST:text POST /orders/*", "--"}},
		"names in paths": {func() []visit {
			return crowd(10, 2*day, func(v *visit) {
				v.change = with("POST", fmt.Sprintf("/blog/%s/comment", slug(v.client)), misfire(932235, "ARGS_POST:text", "rce"))
			})
		}, []string{"932235 ARGS_POST:text POST /blog/*", "--"}},
		"names at the end may be operations": {func() []visit {
			return crowd(8, 2*day, func(v *visit) {
				v.change = with("POST", "/api/"+slug(v.client), misfire(932235, "ARGS_POST:text", "rce"))
			})
		}, nil},
		"a cookie on a few paths": {func() []visit {
			i := 0
			return crowd(12, 2*day, func(v *visit) {
				i++
				v.change = with("GET", []string{"/cart", "/about"}[i%2], misfire(942100, "REQUEST_COOKIES:prefs", "sqli"))
			})
		}, []string{"942100 REQUEST_COOKIES:prefs GET /about", "942100 REQUEST_COOKIES:prefs GET /cart", "--"}},
		"a cookie everywhere": {func() []visit {
			i := 0
			return crowd(12, 2*day, func(v *visit) {
				i++
				v.change = with([]string{"GET", "POST"}[i%2], []string{"/cart", "/about", "/shop/a"}[i%3], misfire(942100, "REQUEST_COOKIES:prefs", "sqli"))
			})
		}, []string{"942100 REQUEST_COOKIES:prefs  /*", "--"}},
		"places in an array": {func() []visit {
			i := 0
			return crowd(12, 2*day, func(v *visit) {
				i++
				v.change = with("POST", "/orders", misfire(942100, fmt.Sprintf("ARGS_POST:json.items.%d.name", i%3), "sqli"))
			})
		}, []string{`942100 ARGS_POST:/^json\.items\.[0-9]+\.name$/ POST /orders`, "--"}},
		"a parameter that cannot be named": {func() []visit {
			return crowd(12, 2*day, func(v *visit) { v.change = with("POST", "/orders", misfire(942100, "ARGS_POST:a@b.example", "sqli")) })
		}, nil},
		"a cookie that was read as an argument": {func() []visit {
			i := 0
			return crowd(12, 2*day, func(v *visit) {
				i++
				v.change = with([]string{"GET", "POST"}[i%2], []string{"/cart", "/about", "/shop/a"}[i%3], readFrom("cookie", misfire(201130, "ARGS:prefs", "rce")))
			})
		}, []string{"201130 ARGS:prefs  /*", "--"}},
		"a rule that the profile's own confirm": {func() []visit {
			return crowd(8, 2*day, func(v *visit) {
				v.change = with("POST", "/comments", misfire(942160, "ARGS:text", "sqli"), misfire(201103, "ARGS:text", "sqli"))
			})
		}, []string{"201103 ARGS:text POST /comments", "942160 ARGS:text POST /comments", "--"}},
		"a field beside a cookie that misfires with nearly every request": {func() []visit {
			cookie := readFrom("cookie", misfire(201130, "ARGS:prefs", "rce"))
			vs := crowd(8, 2*day, func(v *visit) { v.change = with("GET", "/cart", cookie) })
			return append(vs, crowd(8, 3*day, func(v *visit) {
				v.client, v.harmless, v.times = "b"+v.client, 2, 2
				v.change = func(e *filters.Event) {
					with("GET", "/cart", cookie)(e)
					if strings.HasSuffix(e.ID, "-1") { // the second of the two
						with("POST", "/comments", cookie, misfire(942350, "ARGS:text", "sqli"))(e)
					}
				}
			})...)
		}, []string{"201130 ARGS:prefs GET /cart", "--", "942350 ARGS:text POST /comments", "--"}},
		"a method, which is no parameter but the whole of what it says": {func() []visit {
			return crowd(8, 2*day, func(v *visit) {
				v.change = with("PUT", "/files", misfire(911100, "REQUEST_METHOD", "generic"))
			})
		}, []string{"911100 REQUEST_METHOD PUT /files", "--"}},
		"two rules together, where neither has been seen on that path": {func() []visit {
			vs := crowd(10, 2*day, func(v *visit) {
				v.on = "POST /blog/known-story/comment"
				v.change = with("POST", "/blog/"+slug(v.client)+"/comment", misfire(932235, "ARGS:text", "rce"))
			})
			return append(vs, crowd(8, 3*day, func(v *visit) {
				v.client, v.on = "b"+v.client, "POST /blog/known-story/comment"
				v.change = with("POST", "/blog/"+slug(v.client)+"/comment", misfire(932235, "ARGS:text", "rce"), misfire(932260, "ARGS:text", "rce"))
			})...)
		}, []string{"932235 ARGS:text POST /blog/*", "932260 ARGS:text POST /blog/*", "--"}},
		"what is known only by what others know": {func() []visit {
			// The second crowd's strong events are explained by what the first shows, the
			// third's by what the second does.
			first := func(v *visit) {
				v.on, v.change = "POST /comments", with("POST", "/comments", misfire(932235, "ARGS:text", "rce"))
			}
			strong := func(path, field string) func(*visit) {
				return func(v *visit) {
					v.on, v.change = "POST "+path, with("POST", path, misfire(932235, "ARGS:"+field, "rce"), misfire(932260, "ARGS:"+field, "rce"))
				}
			}
			alone := func(path, field string) func(*visit) {
				return func(v *visit) {
					v.at += time.Hour
					v.on, v.change = "POST "+path, with("POST", path, misfire(932235, "ARGS:"+field, "rce"))
				}
			}
			return slices.Concat(crowd(8, 2*day, first),
				named("b", crowd(8, 2*day, strong("/comments", "text"))), named("b", crowd(8, 2*day, alone("/notes", "note"))),
				named("c", crowd(8, 2*day, strong("/notes", "note"))), named("c", crowd(8, 2*day, alone("/mail", "body"))))
		}, []string{"932235 ARGS:text POST /comments", "932260 ARGS:text POST /comments", "--",
			"932235 ARGS:note POST /notes", "932260 ARGS:note POST /notes", "--", "932235 ARGS:body POST /mail", "--"}},

		// Evidence that somebody makes.
		"thirty networks behind a rule that really misfires": {func() []visit {
			vs := crowd(8, 2*day, func(v *visit) {
				v.on, v.change = "POST /comments", with("POST", "/comments", misfire(932235, "ARGS:text", "rce"))
			})
			return append(vs, crowd(30, 3*day, func(v *visit) {
				v.client = "evil" + v.client
				v.change = with("POST", "/comments", misfire(932235, "ARGS:text", "rce"), misfire(932160, "ARGS:text", "rce"))
			})...)
		}, []string{"932235 ARGS:text POST /comments", "--"}},
		"thirty networks beside a cookie that really misfires": {func() []visit {
			cookie := misfire(942100, "REQUEST_COOKIES:prefs", "sqli")
			vs := crowd(8, 2*day, func(v *visit) { v.on, v.change = "POST /comments", with("GET", "/cart", cookie) })
			return append(vs, crowd(30, 3*day, func(v *visit) {
				v.client = "evil" + v.client
				v.change = with("POST", "/comments", cookie, misfire(932160, "ARGS:text", "rce"))
			})...)
		}, []string{"942100 REQUEST_COOKIES:prefs GET /cart", "--"}},
		"thirty networks on paths of their own making, where others comment and pass": {func() []visit {
			vs := crowd(30, 3*day, func(v *visit) {
				v.change = with("POST", "/blog/"+slug(v.client)+"/comment", misfire(942100, "ARGS:text", "sqli"))
			})
			return append(vs, passing("POST /blog/true-story/comment")...)
		}, nil},
		"thirty networks, where others pass and one floods": {func() []visit {
			vs := crowd(30, 3*day, func(v *visit) { v.change = with("POST", "/comments", misfire(942100, "ARGS:text", "sqli")) })
			return append(append(vs, passing("POST /comments")...),
				visit{client: "flood.1", at: 4 * day, times: -1, harmless: 5_001, on: "POST /comments"})
		}, nil},
		"thirty networks whose other comments were refused": {func() []visit {
			vs := crowd(30, 3*day, func(v *visit) {
				v.on, v.status = "POST /comments", 401
				v.change = with("POST", "/comments", misfire(942100, "ARGS:text", "sqli"))
			})
			return append(vs, passing("POST /comments")...)
		}, nil},
		"thirty networks where others pass, on a path with a value in it": {func() []visit {
			vs := crowd(30, 3*day, func(v *visit) {
				v.change = with("POST", "/files/{value}/comment", misfire(942100, "ARGS:text", "sqli"))
			})
			return append(vs, passing("POST /files/{value}/comment")...)
		}, nil},
		"thirty networks on paths of their own making, behind a value": {func() []visit {
			vs := crowd(30, 3*day, func(v *visit) {
				v.change = with("POST", "/files/{value}/"+slug(v.client)+"/comment", misfire(942100, "ARGS:text", "sqli"))
			})
			return append(vs, passing("POST /files/{value}/true-story/comment")...)
		}, nil},
		"thirty networks that send files, where others do and pass": {func() []visit {
			vs := crowd(30, 3*day, func(v *visit) { v.change = with("POST", "/photos", misfire(933110, "FILES:photo", "php")) })
			return append(vs, passing("POST /photos")...)
		}, nil},
		"what holds every parameter": {func() []visit {
			var vs []visit
			for i, whole := range []string{"REQUEST_BODY", "QUERY_STRING", "REQUEST_URI", "REQUEST_LINE", "ARGS_NAMES", "XML:/*", "MULTIPART_PART_HEADERS"} {
				vs = append(vs, crowd(8, 2*day, func(v *visit) {
					v.client = fmt.Sprint(i, v.client)
					v.change = with("POST", "/comments", misfire(942100, whole, "sqli"))
				})...)
			}
			return vs
		}, nil},
		"a parameter named like a pattern, which would be every parameter": {func() []visit {
			return crowd(8, 2*day, func(v *visit) { v.change = with("GET", "/search", misfire(942100, "ARGS:/.*/", "sqli")) })
		}, nil},
		"a parameter that the address of another page had": {func() []visit {
			return crowd(8, 2*day, func(v *visit) {
				v.change = with("GET", "/about", readFrom("Referer", misfire(942100, "ARGS:q", "sqli")))
			})
		}, nil},
		"an answer": {func() []visit {
			return crowd(8, 2*day, func(v *visit) {
				v.change = func(e *filters.Event) {
					m := misfire(951100, "RESPONSE_BODY", "disclosure")
					m.Phase = 4
					e.Method, e.Path, e.Matches, e.Score, e.OutScore = "GET", "/notes", []filters.Match{m}, 0, 5
				}
			})
		}, nil},
		"thirty networks for days, where others comment and pass": {func() []visit {
			vs := crowd(30, 3*day, func(v *visit) { v.change = with("POST", "/comments", misfire(942100, "ARGS:text", "sqli")) })
			return append(vs, passing("POST /comments")...)
		}, nil},
		"people who never pass, where strangers are turned away": {func() []visit {
			vs := crowd(8, 2*day, func(v *visit) { v.change = with("POST", "/comments", misfire(932235, "ARGS_POST:text", "rce")) })
			strangers := passing("POST /comments")
			for i := range strangers {
				strangers[i].status = 401
			}
			return append(vs, strangers...)
		}, []string{"932235 ARGS_POST:text POST /comments", "--"}},
		"people who comment, and since then did a thousand other things": {func() []visit {
			vs := crowd(8, 3*day, func(v *visit) {
				v.on, v.change = "POST /comments", with("POST", "/comments", misfire(942100, "ARGS:text", "sqli"))
			})
			return append(vs, crowd(8, 0, func(v *visit) { v.at, v.times, v.harmless = 4*day, -1, 1000 })...)
		}, []string{"942100 ARGS:text POST /comments", "--"}},
		"people who never pass, beside an operation that is very busy": {func() []visit {
			vs := crowd(10, 2*day, func(v *visit) {
				v.change = with("GET", "/shop/"+slug(v.client)+"/reviews", misfire(932235, "ARGS_GET:text", "rce"))
			})
			for i := range 51 {
				vs = append(vs, visit{client: fmt.Sprintf("shopper%d.1", i), at: 3*day + time.Duration(i), times: -1, harmless: 1000, on: "GET /shop/list"})
			}
			return vs
		}, []string{"932235 ARGS_GET:text GET /shop/*", "--"}},
		"people who comment and mostly pass": {func() []visit {
			return crowd(8, 3*day, func(v *visit) {
				v.on, v.change = "POST /comments", with("POST", "/comments", misfire(942100, "ARGS:text", "sqli"))
			})
		}, []string{"942100 ARGS:text POST /comments", "--"}},
		"fifty addresses in three networks within an hour": {func() []visit {
			return crowd(50, time.Hour, func(v *visit) {
				net := "192.0." + v.client[3:4] + ".0/24"
				inner := with("POST", "/comments", misfire(932235, "ARGS_POST:text", "rce"))
				v.change = func(e *filters.Event) { inner(e); e.ClientNet = net }
			})
		}, nil},
		"one patient attacker among people who misfire": {func() []visit {
			vs := crowd(8, 2*day, func(v *visit) { v.change = with("POST", "/comments", misfire(932235, "ARGS_POST:text", "rce")) })
			for i := range 20 {
				vs = append(vs, visit{client: "slow.1", at: time.Duration(i) * 5 * time.Hour, harmless: 10, change: with("POST", "/comments", misfire(942100, "ARGS_POST:text", "sqli"))})
			}
			return vs
		}, []string{"932235 ARGS_POST:text POST /comments", "--"}},
		"many who attack elsewhere as well": {func() []visit {
			vs := crowd(30, 3*day, func(v *visit) { v.change = with("POST", "/comments", misfire(942100, "ARGS_POST:text", "sqli")) })
			return append(vs, crowd(30, 3*day, func(v *visit) {
				v.at += time.Hour
				v.change = with("GET", "/search", misfire(941100, "ARGS:q", "xss"), misfire(941160, "ARGS:q", "xss"), misfire(942100, "ARGS:q", "sqli"))
			})...)
		}, nil},
	} {
		b, like, start := learner(t, checker)
		b.visits(like, start, c.visits()...)
		if d := cmp.Diff(c.want, b.learn()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if again := b.learn(); len(again) != 0 {
			t.Errorf("%s: proposed again: %v", name, again)
		}
	}
}

// named are the same visits of others.
func named(prefix string, vs []visit) []visit {
	for i := range vs {
		vs[i].client = prefix + vs[i].client
	}
	return vs
}

// passing is six people who use an operation, and in whose requests nothing is found.
func passing(on string) []visit {
	var out []visit
	for i := range 6 {
		out = append(out, visit{client: fmt.Sprintf("people%d.1", i), at: day, times: -1, harmless: 3, on: on})
	}
	return out
}

// slug is a name that looks like no value.
func slug(client string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'a' + r - '0'
		}
		return r
	}, strings.ReplaceAll(client, ".host", "")) + "-story"
}

// No event of an attacker is in the evidence, not even one that matches what
// people's do.
func TestWhoAttacksDoesNotTestify(t *testing.T) {
	b, like, start := learner(t, chain.NewChecker())
	b.visits(like, start, crowd(8, 2*day, func(v *visit) { v.change = with("POST", "/comments", misfire(932235, "ARGS_POST:text", "rce")) })...)
	b.visits(like, start, visit{client: "evil.1", at: day, harmless: 50, change: with("POST", "/comments", misfire(932235, "ARGS_POST:text", "rce"))},
		visit{client: "evil.1", at: 2 * day, change: with("GET", "/admin", misfire(930120, "ARGS:f", "lfi"), misfire(932160, "ARGS:f", "rce"))})
	got, err := b.desk.Suggest(context.Background(), proposal.SuggestRules{})
	if err != nil || len(got.Proposals) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	e := got.Proposals[0].Evidence
	if e.Clients != 8 || slices.ContainsFunc(e.Events, func(id string) bool { return strings.Contains(id, "evil") }) || got.Looked.Discredited == 0 {
		t.Errorf("%+v, %+v", e, got.Looked)
	}
}

func TestLearningSaysWhatItDoesNotName(t *testing.T) {
	b, like, start := learner(t, chain.NewChecker())
	b.visits(like, start, crowd(8, 2*day, func(v *visit) { v.change = with("POST", "/comments", misfire(942100, "REQUEST_BODY", "sqli")) })...)
	got, err := b.desk.Suggest(context.Background(), proposal.SuggestRules{})
	if err != nil || len(got.Proposals) != 0 || got.Looked.Unnamed != 8 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err = b.desk.Suggest(context.Background(), proposal.SuggestRules{Route: "default/shopp"}); !errors.Is(err, proposal.ErrInvalid) {
		t.Errorf("a route that is not there: %v", err)
	}
}

func TestRejectedIsProposedAgainOnNewEvidenceOnly(t *testing.T) {
	ctx := context.Background()
	b, like, start := learner(t, chain.NewChecker())
	comments := func(v *visit) { v.change = with("POST", "/comments", misfire(932235, "ARGS_POST:text", "rce")) }
	b.visits(like, start, crowd(8, 2*day, comments)...)
	got, err := b.desk.Suggest(ctx, proposal.SuggestRules{})
	if err != nil || len(got.Proposals) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := b.desk.Reject(ctx, got.Proposals[0].ID, "ada", "attacks"); err != nil {
		t.Fatal(err)
	}
	// The decision bears the store's clock.
	rejected, err := b.desk.Get(ctx, got.Proposals[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	later := rejected.Decided.Add(time.Minute)
	b.now = later.Add(3 * day)
	b.visits(like, later, crowd(3, 2*day, func(v *visit) { comments(v); v.client = "later" + v.client })...)
	if again := b.learn(); len(again) != 0 {
		t.Errorf("three more make it return: %v", again)
	}
	b.visits(like, later.Add(time.Second), crowd(8, 2*day, func(v *visit) { comments(v); v.client = "new" + v.client })...)
	if again := b.learn(); !slices.Equal(again, []string{"932235 ARGS_POST:text POST /comments", "--"}) {
		t.Errorf("new evidence gives %v", again)
	}
}

// What is learned twice from the same events is the same.
func TestLearningIsDeterministic(t *testing.T) {
	var first []wafrules.Exclusion
	checker := chain.NewChecker()
	for range 2 {
		b, like, start := learner(t, checker)
		for i, path := range []string{"/a/x", "/b/x", "/c/x"} {
			b.visits(like, start, crowd(8, 2*day, func(v *visit) {
				v.client += fmt.Sprint(i)
				v.change = with("POST", path, misfire(932235, "ARGS_POST:text", "rce"))
			})...)
		}
		got, err := b.desk.Suggest(context.Background(), proposal.SuggestRules{})
		if err != nil || len(got.Proposals) != 3 {
			t.Fatalf("%+v, %v", got, err)
		}
		var all []wafrules.Exclusion
		for _, p := range got.Proposals {
			for _, x := range p.Exclusions {
				x.Reason = ""
				all = append(all, x)
			}
		}
		if first == nil {
			first = all
		}
		if d := cmp.Diff(first, all); d != "" {
			t.Error(d)
		}
	}
}
