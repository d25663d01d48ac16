package wafrules

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// The profiles. "crs" is the Core Rule Set as it is published; the others are
// that rule set edited by the files below profiles/, each edit with its reason.
const (
	ProfileCRS      = "crs"
	ProfileBalanced = "balanced"
	ProfileStrict   = "strict"
)

// Profiles lists them, the default first.
func Profiles() []string { return []string{ProfileBalanced, ProfileStrict, ProfileCRS} }

//go:embed profiles
var profileFiles embed.FS

// Profile is a rule set with what the engine does around it.
type Profile struct {
	Name string
	// MinParanoia is the paranoia level below which the profile does not go.
	MinParanoia int
	// Reads says that bodies are read by what they are, and that values are also
	// judged decoded.
	Reads     bool
	files     fs.FS
	catalogue func() ([]Rule, error) // read once: files cannot change
}

// edits are a profile's changes to the Core Rule Set, as its file says them.
type edits struct {
	Extends  string   `yaml:"extends"`
	Paranoia int      `yaml:"paranoia"`
	Off      []edit   `yaml:"off"`      // rules that are taken out
	Weights  []edit   `yaml:"weights"`  // rules that add other points than upstream's
	Without  []edit   `yaml:"without"`  // rules that do not look at some variables
	Patterns []edit   `yaml:"patterns"` // rules whose text is put otherwise
	Rules    []string `yaml:"rules"`    // files of SecLang below profiles/
}

// edit is one change: to which rules, why, and what showed that it is needed.
type edit struct {
	Rules   []int    `yaml:"rules"`
	Points  int      `yaml:"points"`
	Targets []string `yaml:"targets"`
	From    string   `yaml:"from"` // text in the rule's first line
	To      string   `yaml:"to"`
	Reason  string   `yaml:"reason"`
	Cases   string   `yaml:"cases"`
}

// LoadProfile gives the profile of that name.
func LoadProfile(name string) (*Profile, error) {
	switch name {
	case ProfileCRS:
		return crsProfile()
	case ProfileBalanced:
		return balancedProfile()
	case ProfileStrict:
		return strictProfile()
	}
	return nil, fmt.Errorf("profile: %q is unknown; there are %s", name, strings.Join(Profiles(), ", "))
}

// Each is read once: all it is made of is embedded and cannot change.
var (
	crsProfile = sync.OnceValues(func() (*Profile, error) {
		files, err := CRS()
		return newProfile(ProfileCRS, edits{}, files, false), err
	})
	balancedProfile = sync.OnceValues(func() (*Profile, error) { return editedProfile(ProfileBalanced) })
	strictProfile   = sync.OnceValues(func() (*Profile, error) { return editedProfile(ProfileStrict) })
)

// Files are the rule set's files, edited.
func (p *Profile) Files() fs.FS { return p.files }

func newProfile(name string, e edits, files fs.FS, reads bool) *Profile {
	return &Profile{Name: name, MinParanoia: max(e.Paranoia, 1), Reads: reads, files: files,
		catalogue: sync.OnceValues(func() ([]Rule, error) { return readCatalogue(files) })}
}

func editedProfile(name string) (*Profile, error) {
	e, err := readEdits(name)
	if err != nil {
		return nil, fmt.Errorf("read profile %s: %w", name, err)
	}
	files, err := CRS()
	if err != nil {
		return nil, err
	}
	edited, err := e.apply(files)
	if err != nil {
		return nil, fmt.Errorf("apply profile %s: %w", name, err)
	}
	return newProfile(name, e, edited, true), nil
}

// LeftOut says why a profile does not have a rule of the Core Rule Set, "" when
// it has it, or there is none.
func LeftOut(profile string, rule int) string {
	e, err := readEdits(profile)
	if err != nil {
		return ""
	}
	for _, c := range e.Off {
		if slices.Contains(c.Rules, rule) {
			return c.Reason
		}
	}
	return ""
}

// Edited says what a profile changed about a rule, and why; "" for nothing.
func Edited(profile string, rule int) string {
	e, err := readEdits(profile)
	if err != nil {
		return ""
	}
	for _, list := range [][]edit{e.Weights, e.Without, e.Patterns} {
		for _, c := range list {
			if slices.Contains(c.Rules, rule) {
				return c.Reason
			}
		}
	}
	return ""
}

// readEdits reads a profile's file; what it extends comes first.
func readEdits(name string) (edits, error) {
	var e edits
	text, err := profileFiles.ReadFile("profiles/" + name + ".yaml")
	if err != nil {
		return e, err
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&e); err != nil {
		return e, err
	}
	if e.Extends == "" {
		return e, nil
	}
	base, err := readEdits(e.Extends)
	if err != nil {
		return e, err
	}
	e.Off = append(base.Off, e.Off...)
	e.Weights = append(base.Weights, e.Weights...)
	e.Without = append(base.Without, e.Without...)
	e.Patterns = append(base.Patterns, e.Patterns...)
	e.Rules = append(base.Rules, e.Rules...)
	return e, nil
}

// profileRulesFile is where a profile's own rules stand among the rule set's
// files: after all that score a request, before the one that decides.
const profileRulesFile = "REQUEST-948-PROFILE-%d.conf"

// apply edits the text of the rule files. Lines stay where they are.
func (e edits) apply(files fs.FS) (fs.FS, error) {
	names, err := ruleFiles(files)
	if err != nil {
		return nil, err
	}
	out := overlay{FS: files, files: map[string][]byte{}}
	used := map[int]bool{}
	for _, name := range names {
		if !strings.HasSuffix(name, ".conf") {
			continue
		}
		text, err := fs.ReadFile(files, path.Join(crsDir, name))
		if err != nil {
			return nil, err
		}
		if err := e.skips(string(text)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		edited, err := e.text(string(text), used)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out.files[path.Join(crsDir, name)] = []byte(edited)
	}
	for _, list := range [][]edit{e.Off, e.Weights, e.Without, e.Patterns} {
		for _, c := range list {
			if c.Reason == "" {
				return nil, fmt.Errorf("rules %v: there is no reason", c.Rules)
			}
			for _, id := range c.Rules {
				if !used[id] {
					return nil, fmt.Errorf("rule %d: the core rule set has none, or nothing of it to edit", id)
				}
			}
		}
	}
	out.files[path.Join(crsDir, fmt.Sprintf(profileRulesFile, len(e.Rules)))] = []byte(e.once())
	for i, name := range e.Rules {
		text, err := profileFiles.ReadFile("profiles/" + name)
		if err != nil {
			return nil, err
		}
		out.files[path.Join(crsDir, fmt.Sprintf(profileRulesFile, i))] = text
	}
	return out, nil
}

// text edits one file's text.
func (e edits) text(text string, used map[int]bool) (string, error) {
	directives, _ := parseSecLang(text)
	lines := strings.Split(text, "\n")
	id, chained := 0, false
	for i, d := range directives {
		if d.name != "secrule" && d.name != "secaction" {
			continue
		}
		r, err := d.rule()
		if err != nil {
			return "", err
		}
		first := !chained
		if first {
			if a, ok := r.get("id"); ok {
				fmt.Sscan(a.value, &id)
			}
		}
		_, chained = r.get("chain")
		end := len(lines)
		if i+1 < len(directives) {
			end = directives[i+1].line - 1
		}
		e.edit(id, first, lines[d.line-1:end], used)
	}
	return strings.Join(lines, "\n"), nil
}

// points is where a rule adds to a score of requests.
var points = regexp.MustCompile(`setvar:'tx\.inbound_anomaly_score_pl[1-4]=\+[^']*'`)

// onceRuleID adds what reweighted rules are worth.
const onceRuleID = 201_999

// once is the rule that counts each reweighted rule once, however many values it
// matched: a weak sign is not stronger for being found in every line of a log.
func (e edits) once() string {
	var vars []string
	for _, c := range e.Weights {
		for _, id := range c.Rules {
			vars = append(vars, fmt.Sprintf("TX:once_%d", id))
		}
	}
	if vars == nil {
		return ""
	}
	return fmt.Sprintf("SecRule %s \"@gt 0\" \"id:%d,phase:2,pass,nolog,t:none,setvar:'tx.inbound_anomaly_score_pl1=+%%{MATCHED_VAR}'\"\n",
		strings.Join(vars, "|"), onceRuleID)
}

// edit changes the lines of one link of rule id.
func (e edits) edit(id int, first bool, lines []string, used map[int]bool) {
	for _, c := range e.Off {
		if slices.Contains(c.Rules, id) {
			clear(lines)
			used[id] = true
			return
		}
	}
	for _, c := range e.Weights {
		if !slices.Contains(c.Rules, id) {
			continue
		}
		for i, l := range lines {
			if to := points.ReplaceAllString(l, fmt.Sprintf("setvar:'tx.once_%d=%d'", id, c.Points)); to != l {
				lines[i] = to
				used[id] = true
			}
		}
	}
	for _, c := range e.Without {
		if !slices.Contains(c.Rules, id) || !first {
			continue
		}
		for _, t := range c.Targets {
			lines[0] = without(lines[0], t)
		}
		used[id] = true
	}
	for _, c := range e.Patterns {
		if slices.Contains(c.Rules, id) && first && strings.Contains(lines[0], c.From) {
			lines[0] = strings.ReplaceAll(lines[0], c.From, c.To)
			used[id] = true
		}
	}
}

// without takes a variable out of a rule's first line: all of it, or one key.
func without(line, target string) string {
	fields := strings.SplitN(line, " ", 3)
	var keep []string
	gone := false
	for _, v := range strings.Split(fields[1], "|") {
		if v == target {
			gone = true
			continue
		}
		keep = append(keep, v)
	}
	if !gone {
		keep = append(keep, "!"+target)
	}
	fields[1] = strings.Join(keep, "|")
	return strings.Join(fields, " ")
}
