package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocuments: what gabion writes of any traffic is valid by both validators,
// the same each time, and holds none of the values that went by.
func TestDocuments(t *testing.T) {
	gabion := binary(t)
	dir := t.TempDir()
	everything := filepath.Join(dir, "everything.jsonl")
	if err := os.WriteFile(everything, traffic(), 0o644); err != nil {
		t.Fatal(err)
	}
	hars, err := filepath.Glob("testdata/*.har")
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range append(hars, everything) {
		flag := "--exchanges"
		if strings.HasSuffix(from, ".har") {
			flag = "--har"
		}
		for _, args := range [][]string{{"-o", "hosts.yaml"}, {"--service", "shop", "-o", "shop.json"}} {
			t.Run(filepath.Base(from)+" "+args[len(args)-1], func(t *testing.T) {
				out := filepath.Join(t.TempDir(), args[len(args)-1])
				args := append([]string{flag, from}, append(args[:len(args)-1:len(args)-1], out)...)
				first := learn(t, gabion, args)
				if again := learn(t, gabion, args); !bytes.Equal(first, again) {
					t.Error("the same traffic makes another document")
				}
				for _, secret := range secrets() {
					if bytes.Contains(bytes.ToLower(first), []byte(secret)) {
						t.Errorf("%q of the traffic is in the document", secret)
					}
				}
				problems, err := judge(out)
				if errors.Is(err, errNoValidator) && os.Getenv("GABION_REQUIRE") == "" {
					t.Skip(err)
				}
				if err != nil || len(problems) > 0 {
					t.Errorf("%v\n%s", err, strings.Join(problems, "\n"))
				}
			})
		}
	}
}

// TestJudge: both validators find what is wrong.
func TestJudge(t *testing.T) {
	bad := []byte("openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths:\n  /a/{b}:\n    get: {responses: {'200': {content: {}}}}\n")
	problems, err := libopenapi(bad)
	if err != nil || len(problems) == 0 {
		t.Errorf("libopenapi: %v, %v", problems, err)
	}
	problems, err = specValidator(bad)
	if errors.Is(err, errNoValidator) && os.Getenv("GABION_REQUIRE") == "" {
		t.Skip(err)
	}
	if err != nil || len(problems) == 0 {
		t.Errorf("openapi-spec-validator: %v, %v", problems, err)
	}
}

func learn(t *testing.T, gabion string, args []string) []byte {
	t.Helper()
	out, err := exec.Command(gabion, append([]string{"api", "learn"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gabion api learn %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	b, err := os.ReadFile(args[len(args)-1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// binary is the built program.
func binary(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GABION_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	name, err := filepath.Abs(filepath.Join(dir, "gabion"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err != nil {
		if os.Getenv("GABION_REQUIRE") != "" {
			t.Fatal(name + " is not built: run `make build`")
		}
		t.Skip(name + " is not built: run `make build`")
	}
	return name
}
