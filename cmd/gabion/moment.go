package main

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// moment reads a time, or how long ago: 90s, 15m, 1h, 7d.
func moment(text string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 36500 {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is neither how long ago (90s, 1h, 7d) nor a time (2026-01-31T15:04:05Z)", text)
}

// setMoment writes the moment that a flag names into a query; an empty one is
// left out.
func setMoment(q url.Values, name, flag, text string, now time.Time) error {
	if text == "" {
		return nil
	}
	t, err := moment(text, now)
	if err != nil {
		return fmt.Errorf("--%s: %w", flag, err)
	}
	q.Set(name, t.UTC().Format(time.RFC3339Nano))
	return nil
}

// sinceQuery is a query that asks for what came since then, if anything was said.
func sinceQuery(c *cobra.Command, since string, now time.Time) (url.Values, error) {
	q := url.Values{}
	if err := setMoment(q, "since", "since", since, now); err != nil {
		return nil, usageOf(c, err)
	}
	return q, nil
}
