package waf

import (
	"testing"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// What a policy costs that differs from those in use in an exclusion only.
func BenchmarkFurtherPolicy(b *testing.B) {
	for _, profile := range []string{wafrules.ProfileCRS, wafrules.ProfileBalanced} {
		b.Run(profile, func(b *testing.B) {
			c := NewCompiler()
			for i := range b.N + 1 {
				s := wafrules.Defaults()
				s.Profile = profile
				s.Exclusions = []wafrules.Exclusion{{Rule: 942100 + i, Target: "ARGS:q"}}
				if i == 1 {
					b.ResetTimer()
				}
				if _, err := c.Compile(Config{Settings: s, Limits: wafrules.Limits{RequestBody: 1 << 20}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
