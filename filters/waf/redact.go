package waf

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown bounds a redacted value, in bytes.
const maxShown = 96

// redact keeps the shape of an attack and drops what it is about: punctuation
// and the words attacks are made of stay, other letters become a or A, digits
// become 0, everything else a question mark. The result is valid UTF-8 of at
// most limit bytes.
func redact(s string, limit int) string {
	var b strings.Builder
	for i := 0; i < len(s) && b.Len() < limit; {
		c := s[i]
		switch {
		case isLetter(c):
			end := i
			for end < len(s) && isLetter(s[end]) {
				end++
			}
			word := s[i:end]
			if !attackWord(strings.ToLower(word)) {
				word = mask(word)
			}
			b.WriteString(word)
			i = end
			continue
		case c >= '0' && c <= '9':
			b.WriteByte('0')
		case c >= 0x80:
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError || unicode.IsControl(r):
				b.WriteByte('?')
			case unicode.IsLetter(r) || unicode.IsNumber(r):
				b.WriteByte('a')
			default:
				b.WriteRune('?')
			}
			i += n
			continue
		case c < ' ' || c == 0x7f:
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
		i++
	}
	out := b.String()
	if len(out) > limit {
		out = out[:limit]
	}
	return out
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func mask(word string) string {
	b := []byte(word)
	for i, c := range b {
		if c >= 'a' {
			b[i] = 'a'
		} else {
			b[i] = 'A'
		}
	}
	return string(b)
}

// attackWord lists the words that make an attack readable. None of them can be
// a secret or a person.
func attackWord(w string) bool {
	switch w {
	case // SQL
		"select", "union", "insert", "update", "delete", "drop", "from", "where", "and", "or", "not", "null", "like",
		"having", "group", "order", "by", "limit", "into", "outfile", "dumpfile", "sleep", "benchmark", "waitfor", "delay",
		"concat", "char", "exec", "execute", "table", "database", "schema", "information", "version", "all", "as", "xp",
		"cmdshell", "declare", "cast", "convert", "between", "exists", "case", "when", "then", "else", "end", "if", "load",
		// HTML and scripts
		"script", "iframe", "svg", "img", "onerror", "onload", "onclick", "onmouseover", "onfocus", "alert", "prompt",
		"confirm", "javascript", "vbscript", "document", "cookie", "window", "location", "eval", "src", "href", "style",
		"object", "embed", "body", "input", "data", "html", "xml", "doctype", "entity", "system", "xlink", "expression",
		"function", "constructor", "prototype", "require", "process", "import", "settimeout", "fromcharcode",
		// shell and programs
		"cat", "ls", "id", "whoami", "uname", "wget", "curl", "bash", "sh", "zsh", "nc", "netcat", "ping", "echo", "printf",
		"rm", "cp", "mv", "chmod", "chown", "sudo", "python", "perl", "ruby", "php", "java", "powershell", "cmd", "exe",
		"net", "dir", "type", "env", "export", "nslookup", "dig", "tftp", "telnet",
		// paths
		"etc", "passwd", "shadow", "hosts", "proc", "self", "environ", "var", "log", "tmp", "bin", "usr", "dev", "boot",
		"ini", "win", "windows", "htaccess", "htpasswd", "git", "config", "wp", "conf", "ssh", "root", "web", "inf", "admin",
		// protocols and templates
		"http", "https", "ftp", "file", "gopher", "dict", "ldap", "ldaps", "rmi", "dns", "jndi", "jar", "phar", "expect",
		"ognl", "runtime", "getruntime", "class", "classloader", "lang", "localhost", "base", "decode", "encode":
		return true
	}
	return false
}
