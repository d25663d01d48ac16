package learn

import (
	"regexp"
	"strings"
)

// volatileLabels change from one replica, rollout or run to the next, whatever
// their values.
var volatileLabels = map[string]bool{
	"pod-template-hash": true, "controller-revision-hash": true, "pod-template-generation": true,
	"statefulset.kubernetes.io/pod-name": true, "apps.kubernetes.io/pod-index": true,
	"job-name": true, "batch.kubernetes.io/job-name": true, "controller-uid": true, "batch.kubernetes.io/controller-uid": true,
	"batch.kubernetes.io/job-completion-index": true, "job-completion-index": true,
	"helm.sh/chart": true, "chart": true, "heritage": true, "rollouts-pod-template-hash": true,
	"app.kubernetes.io/managed-by": true, "app.kubernetes.io/version": true, "git-sha": true, "commit": true, "build": true,
	"kubernetes.io/hostname": true, "hostname": true, "pod": true, "pod-name": true, "pod-ip": true, "uid": true, "instance-id": true,
}

var (
	// hexRun is a hash or a UUID; long numbers are dates and counters.
	hexRun = regexp.MustCompile(`^[0-9a-f]{5,}$|^[0-9]{6,}$`)
	// safeRun is how Kubernetes writes random names: no vowels, none of 0, 1, 3.
	safeRun = regexp.MustCompile(`^[bcdfghjklmnpqrstvwxz2456789]{5,10}$`)
	moment  = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt_.-].*)?$`)
	ordinal = regexp.MustCompile(`^[0-9]{1,5}$`)
)

// shortestHash is from which length on a whole name may be a hash.
const shortestHash = 8

// random says whether a part of a name looks made by a machine.
func random(s string) bool {
	switch {
	case hexRun.MatchString(s):
		return len(s) >= 12 || strings.ContainsAny(s, "0123456789") && (strings.ContainsAny(s, "abcdef") || len(s) >= 6)
	case safeRun.MatchString(s):
		return strings.ContainsAny(s, "2456789") || len(s) == 5
	}
	return false
}

// baseName is a workload's name without what differs between replicas: hashes,
// ordinals, dates. Empty: all of it is.
func baseName(name string) string {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '.' || r == '_' })
	for len(parts) > 0 {
		last := parts[len(parts)-1]
		if !ordinal.MatchString(last) && !random(last) {
			break
		}
		if len(parts) == 1 && len(last) < shortestHash && !ordinal.MatchString(last) {
			break // "feed0" is a word that happens to be hexadecimal
		}
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, "-")
}

var machineName = regexp.MustCompile(`^([a-z][-a-z]*[a-z])[0-9]{1,6}$`)

// machineWord is what numbered machines are called: srv, of srv0012. Empty: a name is
// no such one.
func machineWord(name string) string {
	if at := machineName.FindStringSubmatch(name); at != nil && baseName(name) == name {
		return at[1]
	}
	return ""
}

// genericNames say that something is a machine, not what it is for.
var genericNames = map[string]bool{
	"vm": true, "host": true, "node": true, "server": true, "srv": true, "machine": true, "instance": true, "ip": true, "i": true,
	"ec2": true, "pod": true, "container": true, "workload": true, "w": true, "box": true, "guest": true, "task": true, "app": true,
}

// volatileValue says whether a label's value is one replica's own: its name, a
// hash, a time, an ordinal that its name ends in.
func volatileValue(value, name string) bool {
	if value == "" {
		return false
	}
	base := baseName(name)
	switch {
	case value == name && name != base:
		return true
	case moment.MatchString(value):
		return true
	case ordinal.MatchString(value) && (strings.HasSuffix(name, "-"+value)):
		return true
	}
	parts := strings.Split(value, "-")
	return random(value) || len(parts) > 1 && random(parts[len(parts)-1])
}

// namePattern is what a group that only names tell apart is selected by.
func namePattern(base string, names []string) []string {
	if base == "" {
		return names
	}
	for _, n := range names {
		if n != base && !strings.HasPrefix(n, base+"-") {
			return names
		}
	}
	if len(names) == 1 && names[0] == base {
		return names
	}
	return []string{base + "-*"}
}
