package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// maxRequestFile bounds one request read by waf check, in bytes.
const maxRequestFile = 64 << 20

func newCheck(a *app) *cobra.Command {
	var policy, name, dir string
	var workers int
	c := &cobra.Command{
		Use:   "check --policy FILE [--dir DIR] [FILE...]",
		Short: "Run raw requests through the engine, without Envoy",
		Long: `Run raw HTTP/1 requests, one a file, bytes as on the wire, through the engine under
a policy, without Envoy and without a control plane. Each gives one line of JSON,
in the order of the files:

  {"file","decision":"allow|detect|deny","status","score","rules":[...],"micros"}

A request that Envoy would refuse as malformed is denied with its status. A file
that cannot be read gives a line with "error", and the exit code is 1 at the end.
The policy's targetRefs and selector play no part.`,
		Example: `  gabion waf check --policy policy.yaml request.http
  gabion waf check --policy policy.yaml --dir attacks/ | jq -r 'select(.decision=="allow").file'`,
		Args: args(cobra.ArbitraryArgs),
		RunE: func(c *cobra.Command, files []string) error {
			if len(files) == 0 && dir == "" {
				return usageOf(c, errors.New("name at least one FILE, or a directory with --dir"))
			}
			p, err := a.checkPolicy(policy, name)
			if err != nil {
				return err
			}
			judge, err := chain.NewJudge(p, chain.Options{})
			if err != nil {
				return fmt.Errorf("compile the policy in %s: %w", policy, err)
			}
			defer judge.Close()
			ctx, stop := context.WithCancel(c.Context())
			defer stop()
			return a.checkFiles(ctx, judge, namesOf(ctx, files, dir), workers)
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "file with a WAFPolicy")
	c.Flags().StringVar(&name, "name", "", "which of the file's WAFPolicies, when there are several")
	c.Flags().StringVar(&dir, "dir", "", "check every file in this directory, at any depth, in order of name")
	c.Flags().IntVar(&workers, "workers", runtime.GOMAXPROCS(0), "requests judged at the same time")
	_ = c.MarkFlagRequired("policy")
	return c
}

// checkLine is the answer for one request.
type checkLine struct {
	File     string           `json:"file"`
	Decision filters.Decision `json:"decision,omitempty"`
	Status   int              `json:"status"`
	Score    int              `json:"score"`
	Rules    []int            `json:"rules"`
	Micros   int64            `json:"micros"`
}

// checkError is the line for a file that could not be judged.
type checkError struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// toCheck is a file to judge, or why the walk could not name it.
type toCheck struct {
	file string
	err  error
}

// namesOf yields file names as they are found, so that a directory of millions
// needs no list of them.
func namesOf(ctx context.Context, files []string, dir string) <-chan toCheck {
	out := make(chan toCheck)
	emit := func(t toCheck) error {
		select {
		case out <- t:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	go func() {
		defer close(out)
		for _, f := range files {
			if emit(toCheck{file: f}) != nil {
				return
			}
		}
		if dir == "" {
			return
		}
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return emit(toCheck{path, err})
			}
			if d.IsDir() {
				return nil
			}
			return emit(toCheck{file: path})
		})
	}()
	return out
}

// checkFiles judges in parallel and prints in order: every file gets a slot in a
// bounded queue, and the printer waits for the slots in turn.
func (a *app) checkFiles(ctx context.Context, judge *chain.Judge, names <-chan toCheck, workers int) error {
	workers = max(workers, 1)
	type slot struct {
		toCheck
		line chan any
	}
	work := make(chan slot)
	queue := make(chan slot, 4*workers)
	for range workers {
		go func() {
			for s := range work {
				s.line <- judgeFile(judge, s.toCheck)
			}
		}()
	}
	go func() {
		defer close(work)
		defer close(queue)
		for n := range names {
			s := slot{n, make(chan any, 1)}
			select {
			case queue <- s:
			case <-ctx.Done():
				return
			}
			work <- s
		}
	}()
	out := bufio.NewWriter(a.out)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	failed := 0
	for s := range queue {
		line := <-s.line
		if _, bad := line.(checkError); bad {
			failed++
		}
		if err := enc.Encode(line); err != nil {
			return err
		}
		if len(queue) == 0 { // nothing more is ready: let the reader see it
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("stopped before all files were checked")
	case failed > 0:
		return fmt.Errorf("%d files could not be checked; their lines say why", failed)
	}
	return nil
}

// judgeFile answers a checkLine or a checkError; a panic over one file must not
// take the answers for the others along.
func judgeFile(judge *chain.Judge, t toCheck) (line any) {
	defer func() {
		if p := recover(); p != nil {
			line = checkError{t.file, fmt.Sprintf("the engine panicked: %v", p)}
		}
	}()
	err := t.err
	var raw []byte
	if err == nil {
		raw, err = readBounded(t.file)
	}
	if err != nil {
		return checkError{t.file, err.Error()}
	}
	v := judge.DecideRaw(raw)
	if v.Rules == nil {
		v.Rules = []int{}
	}
	return checkLine{File: t.file, Decision: v.Decision, Status: v.Status, Score: v.Score, Rules: v.Rules, Micros: v.Micros}
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxRequestFile+1))
	if err == nil && len(raw) > maxRequestFile {
		err = fmt.Errorf("larger than %s", bytesText(maxRequestFile))
	}
	return raw, err
}
