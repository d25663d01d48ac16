package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
)

func newSeg(a *app) *cobra.Command {
	return group("seg", "Learn, rehearse and judge network segmentation",
		`Policies for the network between workloads: learned from edges, judged flow by
flow, rehearsed on what was recorded. learn, evaluate, rehearse, export and import
work on files, without a control plane; the others ask one what its agents saw.`,
		newSegStatus(a), newSegEdges(a), newSegFlows(a), newSegGraph(a), newSegPropose(a), newSegReview(a), newSegMode(a),
		newSegLearn(a), newSegEvaluate(a), newSegRehearse(a), newSegExport(a), newSegImport(a))
}

// readSegmentation reads policies and workloads from files. What is wrong with
// them is an error; what can do nothing is a warning.
func (a *app) readSegmentation(files []string, o segment.Options) (segment.Result, error) {
	var objects []v1alpha1.Object
	var wrong []string
	paths, err := manifestFiles(files)
	if err != nil {
		return segment.Result{}, err
	}
	for _, f := range paths {
		text, err := a.readFile(f)
		if err != nil {
			return segment.Result{}, fmt.Errorf("read the manifests: %w", err)
		}
		found, problems := v1alpha1.Decode(f, text)
		objects = append(objects, found...)
		for _, p := range problems {
			wrong = append(wrong, p.Error())
		}
	}
	if len(wrong) > 0 {
		return segment.Result{}, fmt.Errorf("the manifests have mistakes\n  - %s", strings.Join(wrong[:min(len(wrong), 20)], "\n  - "))
	}
	seen := map[v1alpha1.Key]bool{}
	for _, o := range objects {
		if k := v1alpha1.KeyOf(o); seen[k] {
			return segment.Result{}, fmt.Errorf("%s is written twice", k)
		} else {
			seen[k] = true
		}
	}
	result := segment.Compile(objects, o)
	for i, c := range result.Conditions {
		if i == 20 {
			fmt.Fprintf(a.err, "gabion: warning: … and %d more\n", len(result.Conditions)-i)
			break
		}
		fmt.Fprintf(a.err, "gabion: warning: %s: %s: %s\n", c.Key(), c.Path, c.Message)
	}
	return result, nil
}

// input opens a file of edges or flows and shows how far reading is.
func (a *app) input(file, what string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", what, err)
	}
	return f, nil
}

var errNoWorkloads = errors.New("there is no Workload in the files given with --workloads")
