package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/source"
)

type list []Record

func (l list) Resources(context.Context) ([]Record, int64, error) { return l, 5, nil }

type broken struct{}

func (broken) Resources(context.Context) ([]Record, int64, error) {
	return nil, 0, errors.New("disk gone")
}

func TestRead(t *testing.T) {
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	set, err := Read(context.Background(), list{
		{Manifest: []byte("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: a}\nspec: {mode: block}\n"), Revision: 7, Created: day, Updated: day.Add(time.Hour)},
		{Manifest: []byte("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: b}\nspec: {gone: 1}\n"), Revision: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(set.Items()); n != 1 || set.Mark() != 5 || source.Merge(set, source.NewSet(nil, nil)).Mark() != 5 {
		t.Fatalf("got %d items, marked %d", n, set.Mark())
	}
	i := set.Items()[0]
	if i.Origin != source.Store || i.Revision != 7 || !i.Created.Equal(day) || !i.Updated.Equal(day.Add(time.Hour)) {
		t.Errorf("got %+v", i)
	}
	c := set.Conditions()
	if len(c) != 1 || c[0].Name != "b" || c[0].Path != "spec.gone" || !strings.Contains(c[0].Message, "stored revision 3 cannot be read: unknown field") {
		t.Errorf("got %+v", c)
	}
	if _, err := Read(context.Background(), broken{}); err == nil || !strings.Contains(err.Error(), "disk gone") {
		t.Errorf("got %v", err)
	}
}
