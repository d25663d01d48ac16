package wafrules

// Lint reports everything an author of s should mend: refused or broken custom
// rules (Fatal), and rules and exclusions that can do nothing.
func Lint(s Settings, c Context) []Problem { return nil }
