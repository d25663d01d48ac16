package hosts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation"
)

// view is all that one host is to have. It is immutable.
type view struct {
	version   string
	resources map[string]*discovery.Resource // by name
}

// texts remembers resources as they are sent: hosts have most of theirs in common,
// and most are the same as before.
type texts struct{ now, before map[textKey]text }

// textKey tells a host's own workload from what others are told of it.
type textKey struct {
	v1alpha1.Key
	own bool
}

type text struct {
	object v1alpha1.Object
	sent   *discovery.Resource
}

// turn forgets what was not asked for since the last turn.
func (t *texts) turn() { t.now, t.before = map[textKey]text{}, t.now }

// of renders a resource, or finds it rendered.
func (t *texts) of(key v1alpha1.Key, o v1alpha1.Object) (*discovery.Resource, error) {
	at := textKey{Key: key}
	if w, ok := o.(*v1alpha1.Workload); ok {
		at.own = w.Spec.Node != ""
	}
	now, known := t.now[at]
	if known && (now.object == o || reflect.DeepEqual(now.object, o)) {
		return now.sent, nil
	}
	if before, known := t.before[at]; known && reflect.DeepEqual(before.object, o) {
		t.now[at] = text{o, before.sent}
		return before.sent, nil
	}
	sent, err := newResource(key, o)
	if err == nil {
		t.now[at] = text{o, sent}
	}
	return sent, err
}

// view renders all that one host is to have. Versions are hashes of content.
func (t *texts) view(objects []v1alpha1.Object, log *slog.Logger) *view {
	v := &view{resources: make(map[string]*discovery.Resource, len(objects))}
	for _, o := range objects {
		key := v1alpha1.KeyOf(o)
		r, err := t.of(key, o)
		if err != nil { // it was read from text, and so can be written
			log.Error("a resource cannot be sent to hosts", "resource", key.String(), "error", err)
			continue
		}
		v.resources[r.Name] = r
	}
	v.version = versionOf(v.versions())
	return v
}

func newResource(key v1alpha1.Key, o v1alpha1.Object) (*discovery.Resource, error) {
	text, err := v1alpha1.Encode(o)
	if err != nil {
		return nil, err
	}
	// PolicyResource has one field, of the type and number that BytesValue's has.
	message, err := proto.Marshal(wrapperspb.Bytes(text))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return &discovery.Resource{
		Name: nameOf(key), Version: hex.EncodeToString(sum[:8]),
		Resource: &anypb.Any{TypeUrl: segmentation.PolicyResource, Value: message},
	}, nil
}

func nameOf(k v1alpha1.Key) string {
	if k.Namespace == "" {
		return k.Kind + "/" + k.Name
	}
	return k.Kind + "/" + k.Namespace + "/" + k.Name
}

func (v *view) versions() map[string]string {
	out := make(map[string]string, len(v.resources))
	for name, r := range v.resources {
		out[name] = r.Version
	}
	return out
}

// versionOf is one version for a set of resources with theirs.
func versionOf(versions map[string]string) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(name), name, len(versions[name]), versions[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// since lists what changed from the versions that a host has, by name.
func (v *view) since(have map[string]string) (changed []*discovery.Resource, removed []string) {
	for _, name := range slices.Sorted(maps.Keys(v.resources)) {
		if have[name] != v.resources[name].Version {
			changed = append(changed, v.resources[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if v.resources[name] == nil {
			removed = append(removed, name)
		}
	}
	return changed, removed
}
