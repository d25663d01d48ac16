package exchange

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func portable(t testing.TB) *Observation {
	t.Helper()
	d := Door{Key: Key{1}}
	o := new(Observation)
	d.Observe(&Raw{
		Time: time.Unix(1_700_000_000, 0).UTC(), Client: "10.9.1.2", Method: "POST", Scheme: "http", Host: "shop.example", Path: "/users/17/orders;a=1,2?full=yes&ids=1,2,3",
		Request: RawMessage{Headers: []Header{{"Content-Type", "application/json"}, {"Authorization", "Bearer abc"}, {"X-Tenant", "blue"}, {"Cookie", "theme=dark"}},
			Body: []byte(`{"kind":"gift","items":[{"sku":"A-1","n":2}]}`)},
		Status: 201, Response: RawMessage{Headers: []Header{{"Content-Type", "application/json"}}, Body: []byte(`{"id":9}`)}, Duration: time.Second,
	}, o)
	return o
}

// What is sent is what arrives.
func TestObservationTravels(t *testing.T) {
	whole := portable(t)
	sent := whole.portable()
	want := &sent
	if whole.Segments[1].Text != "17" || want.Segments[1].Text != "" || want.Segments[0].Text != "users" {
		t.Errorf("of %+v travels %+v", whole.Segments, want.Segments)
	}
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := whole.Encode(); !bytes.Equal(b, again) {
		t.Errorf("whole it is sent as %s", again)
	}
	got, err := DecodeObservation(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Error(d)
	}
	if strings.Contains(string(b), "abc") {
		t.Errorf("the credential travels: %s", b)
	}
}

func TestObservationIsChecked(t *testing.T) {
	for name, spoil := range map[string]func(*Observation){
		"secret":    func(o *Observation) { o.Segments[0].Kind, o.Segments[0].Text = KindToken, "s3cret" },
		"method":    func(o *Observation) { o.Method = "get it" },
		"status":    func(o *Observation) { o.Status = -1 },
		"parameter": func(o *Observation) { o.Params[0].In = "body" },
		"segments":  func(o *Observation) { o.Segments = make([]Segment, 40) },
		"shape":     func(o *Observation) { o.Request.Shape.Members = []Member{{Name: "x"}} },
	} {
		o := portable(t)
		spoil(o)
		b, err := o.Encode()
		if err != nil {
			continue
		}
		if _, err := DecodeObservation(b); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	for _, text := range []string{
		"", "null", "[]", `{"Method":""}`, `{"Method":"GET","Segments":[{"k":99}]}`, `{"Method":"GET","Segments":[{"k":"uuid","t":"17"}]}`,
		`{"Method":"GET","Segments":[{"k":"word","t":"` + strings.Repeat("a", 65) + `"}]}`, strings.Repeat("[", 70_000),
	} {
		if _, err := DecodeObservation([]byte(text)); err == nil {
			t.Errorf("%.60q is taken", text)
		}
	}
}

func FuzzDecodeObservation(f *testing.F) {
	b, err := portable(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"Method":"GET"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := DecodeObservation(b)
		if err != nil {
			return
		}
		again, err := o.Encode()
		if err != nil {
			return
		}
		if _, err := DecodeObservation(again); err != nil {
			t.Fatalf("what was read is not taken again: %v", err)
		}
	})
}
