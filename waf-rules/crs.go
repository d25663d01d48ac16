package wafrules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"sort"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
)

// CRSVersion is the OWASP Core Rule Set this build carries, and crsSum the
// checksum of its rule and data files. An update of the module changes both by
// hand: rules decide what is blocked, so they never change by accident.
const (
	CRSVersion = "4.25.0"
	crsSum     = "fd2444694c9280ef34f1aa1856e844eb81d74493581cf0bd7cf2b937cc521802"
	crsDir     = "@owasp_crs"
)

// CRS gives the rule set's files, after comparing them with the pinned checksum.
func CRS() (fs.FS, error) {
	sum, err := checksum(coreruleset.FS)
	if err != nil {
		return nil, fmt.Errorf("read core rule set: %w", err)
	}
	if sum != crsSum {
		return nil, fmt.Errorf("core rule set %s: checksum is %s, this build pins %s", CRSVersion, sum, crsSum)
	}
	return coreruleset.FS, nil
}

// checksum hashes names and contents of all rule set files, in name order.
func checksum(f fs.FS) (string, error) {
	names, err := ruleFiles(f)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range names {
		b, err := fs.ReadFile(f, path.Join(crsDir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ruleFiles lists the rule set's files in the order they are loaded.
func ruleFiles(f fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(f, crsDir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	sort.Strings(names)
	return names, nil
}
