package store

import (
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// maxLimit bounds what one query returns.
const maxLimit = 10_000

func bounded(limit int) int64 {
	if limit <= 0 {
		return 100
	}
	return int64(min(limit, maxLimit))
}

// between narrows by the time column: since inclusive, until exclusive.
func between(q *bun.SelectQuery, since, until time.Time) *bun.SelectQuery {
	if !since.IsZero() {
		q = q.Where("time >= ?", nanos(since))
	}
	if !until.IsZero() {
		q = q.Where("time < ?", nanos(until))
	}
	return q
}

// equal narrows by a text column unless the wanted value is empty.
func equal(q *bun.SelectQuery, column, want string) *bun.SelectQuery {
	if want == "" {
		return q
	}
	return q.Where("? = ?", bun.Ident(column), text(want))
}

// text is s as both databases take it: UTF-8 without NUL.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// chunks cuts rows into pieces small enough for one statement.
func chunks[T any](rows []T, size func(T) int64) (out [][]T) {
	const maxRows, maxBytes = 100, 256 << 10
	var bytes int64
	start := 0
	for i, r := range rows {
		n := size(r)
		if i > start && (i-start >= maxRows || bytes+n > maxBytes) {
			out, start, bytes = append(out, rows[start:i]), i, 0
		}
		bytes += n
	}
	if start < len(rows) {
		out = append(out, rows[start:])
	}
	return out
}
