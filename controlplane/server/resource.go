package server

import (
	"encoding/json"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// Resource is a resource of the set in force.
type Resource struct {
	Kind       string               `json:"kind"`
	Namespace  string               `json:"namespace,omitempty"`
	Name       string               `json:"name"`
	Origin     string               `json:"origin" enum:"file,store,flags,cluster" doc:"where it is written; it can be changed only there"`
	File       string               `json:"file,omitempty" doc:"with origin file: where"`
	Line       int                  `json:"line,omitempty"`
	Revision   int64                `json:"revision" doc:"counts over all origins, from 1; 0: not recorded"`
	Author     string               `json:"author,omitempty"`
	Updated    time.Time            `json:"updated,omitzero"`
	Conditions []v1alpha1.Condition `json:"conditions,omitempty"`
	Manifest   json.RawMessage      `json:"manifest" doc:"the resource itself; secret values are left out"`
}

// ResourceList is the set in force, or a part of it.
type ResourceList struct {
	Items      []Resource           `json:"items"`
	Conditions []v1alpha1.Condition `json:"conditions,omitempty" doc:"about manifests that could not become a resource"`
	Version    string               `json:"version" doc:"of the snapshot served"`
}

// ApplyAction is what applying did, or would do, with one resource.
type ApplyAction string

const (
	Created   ApplyAction = "created"
	Updated   ApplyAction = "updated"
	Unchanged ApplyAction = "unchanged"
	Deleted   ApplyAction = "deleted"
	FileOwned ApplyAction = "file-owned" // nothing was changed: see Patch and File
)

// Applied is the outcome for one resource.
type Applied struct {
	Kind       string               `json:"kind"`
	Namespace  string               `json:"namespace,omitempty"`
	Name       string               `json:"name"`
	Action     ApplyAction          `json:"action" enum:"created,updated,unchanged,deleted,file-owned"`
	Revision   int64                `json:"revision,omitempty"`
	File       string               `json:"file,omitempty" doc:"the file that owns the name"`
	Line       int                  `json:"line,omitempty" doc:"where its document begins"`
	Patch      string               `json:"patch,omitempty" doc:"unified diff from what is in force to what was asked"`
	Manifest   string               `json:"manifest,omitempty" doc:"with action file-owned: the document to write into the file"`
	Conditions []v1alpha1.Condition `json:"conditions,omitempty" doc:"how the resource would fare, or fares; of one deleted: what others miss now"`
}

// ApplyResult is the outcome of a whole apply: all of it was written, or nothing.
type ApplyResult struct {
	Written bool      `json:"written" doc:"false: a dry run, nothing to do, or a file owns one of the names"`
	Items   []Applied `json:"items"`
	Version string    `json:"version,omitempty" doc:"of the snapshot that holds the change"`
	Rollout *Rollout  `json:"rollout,omitempty" doc:"what the proxies made of it"`
}
