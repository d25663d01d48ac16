package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gabion-io/gabion/waf-rules/regression"
)

// The regression suite in block mode: both transports give every request the
// same status, and what was recorded of it is judged today as it was live.
func TestParity(t *testing.T) {
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	upstream := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	}))
	answers := make([]map[string]int, len(transports))
	t.Run("answers", func(t *testing.T) {
		for i, transport := range transports {
			t.Run(transport, func(t *testing.T) {
				t.Parallel()
				u := startUp(t, "--transport", transport, "--upstream", "http://"+upstream)
				u.inMode(t, "block")
				answers[i] = sendAll(u.listen, cases)
				wantNoDrift(t, u, len(answers[i]))
			})
		}
	})
	module, extproc := answers[0], answers[1]
	if len(module) < 4000 || len(extproc) < 4000 {
		t.Fatalf("%d and %d answers", len(module), len(extproc))
	}
	differ := 0
	for id, status := range module {
		if other, ok := extproc[id]; ok && status != other {
			if differ++; differ <= 20 {
				t.Errorf("%s: module %d, extproc %d", id, status, other)
			}
		}
	}
	t.Logf("%d requests, %d answered differently", len(module), differ)
}

// sendAll sends every request once, each on a connection of its own. Those that
// Envoy does not answer are left out.
func sendAll(address string, cases []regression.Case) map[string]int {
	answers := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan regression.Case)
	for range 4 {
		wg.Go(func() {
			for c := range work {
				for i, s := range c.Stages {
					status, err := exchangeRaw(address, s.Request.Bytes())
					if err != nil {
						continue
					}
					mu.Lock()
					answers[fmt.Sprint(c.ID, "/", i)] = status
					mu.Unlock()
				}
			}
		})
	}
	for _, c := range cases {
		work <- c
	}
	close(work)
	wg.Wait()
	return answers
}

func exchangeRaw(address string, request []byte) (int, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second)) // incomplete ones are never answered
	go conn.Write(request)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, nil
}

// wantNoDrift rehearses the policy in force on what was recorded: nothing may be
// judged otherwise than live.
func wantNoDrift(t *testing.T, u *up, sent int) {
	t.Helper()
	var r struct {
		Judged, NewlyBlocked, NewlyPassed int
		Drift                             struct{ SamePolicy int }
	}
	u.eventually("the recordings arrive", func() error {
		out, errOut, err := u.try(wafMode("block"), "waf", "rehearse", "-f", "-", "-o", "json")
		if err != nil {
			return fmt.Errorf("%w: %s", err, errOut)
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			return err
		}
		if r.Judged < sent*8/10 {
			return fmt.Errorf("%d of %d judged", r.Judged, sent)
		}
		return nil
	})
	t.Logf("rehearsed %d of %d: %+v", r.Judged, sent, r)
	if r.NewlyBlocked > 0 || r.NewlyPassed > 0 || r.Drift.SamePolicy > 0 {
		t.Errorf("an unchanged policy judges otherwise than live: %+v", r)
	}
}
