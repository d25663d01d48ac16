package learn

import "strings"

// isRouteWord says that a word stands beside values in many APIs. It tips close
// decisions, and decides which words are kept when there are too many to keep.
func isRouteWord(s string) bool {
	switch strings.TrimLeft(strings.ToLower(s), "@$~_") {
	case "me", "self", "current", "search", "latest", "new", "count", "stats", "status", "health", "all", "default", "batch", "bulk", "export",
		"import", "login", "logout", "find", "query", "filter", "validate", "metadata", "info", "summary", "config", "settings", "upload", "download",
		"list", "create", "update", "delete", "public", "private", "mine", "recent", "popular", "trending", "featured", "random", "ping", "version",
		"token", "refresh", "register", "verify", "preview", "schema", "types", "categories", "tags", "history", "archive", "copy", "move", "reset",
		"add", "remove", "enable", "disable", "start", "stop", "cancel", "restore":
		return true
	}
	return false
}

// isPronoun says that a word stands for the caller, or for what is there now.
func isPronoun(s string) bool {
	switch strings.TrimLeft(strings.ToLower(s), "@$~_") {
	case "me", "self", "myself", "current", "mine", "whoami", "latest":
		return true
	}
	return false
}

// singular is the English singular of a plural noun, and whether it looks like one.
func singular(s string) (string, bool) {
	l := strings.ToLower(s)
	switch {
	case len(l) < 4 || strings.HasSuffix(l, "ss") || strings.HasSuffix(l, "us") || strings.HasSuffix(l, "is") || strings.HasSuffix(l, "news"):
		return s, false
	case strings.HasSuffix(l, "ies") && len(l) > 4 && l != "series" && l != "movies" && l != "cookies":
		return s[:len(s)-3] + "y", true
	case strings.HasSuffix(l, "sses") || strings.HasSuffix(l, "xes") || strings.HasSuffix(l, "ches") || strings.HasSuffix(l, "shes"):
		return s[:len(s)-2], true
	case strings.HasSuffix(l, "s"):
		return s[:len(s)-1], true
	case l == "people" || l == "children" || l == "media" || l == "data":
		return s, true
	}
	return s, false
}
