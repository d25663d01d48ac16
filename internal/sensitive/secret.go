package sensitive

import (
	"hash/crc32"
	"strings"
)

// vendor is the form of one vendor's tokens: a prefix and what follows it.
type vendor struct {
	prefix   string
	body     byte // the alphabet
	min, max int  // characters of the body
	kind     Kind
}

// The alphabets of tokens.
const (
	hexLower = iota
	upperDigit
	word     // letters and digits
	wordDash // and - _
	wordDot  // and .
	base64ish
)

// vendors are sorted by prefix; of prefixes that begin each other the longer
// comes first. Forms are those of the vendors' own documentation.
var vendors = []vendor{
	{"AAAA", wordDash, 60, 180, MessagingKey}, // Firebase messaging, with a colon below
	{"ABSK", base64ish, 100, 160, AWSKey},
	{"AGE-SECRET-KEY-1", upperDigit, 58, 58, VaultToken},
	{"AGPA", upperDigit, 16, 17, AWSKey},
	{"AIza", wordDash, 35, 35, GCPKey},
	{"AKIA", upperDigit, 16, 16, AWSKey},
	{"ASIA", upperDigit, 16, 16, AWSKey},
	{"ATATT3", base64ish, 60, 300, WorkToken},
	{"ATBB", word, 28, 40, WorkToken},
	{"CFPAT-", wordDash, 40, 50, HostingToken},
	{"EAAA", wordDash, 56, 66, CommerceKey},
	{"GOCSPX-", wordDash, 28, 28, GCPKey},
	{"HRKU-", wordDash, 36, 64, HostingToken},
	{"NRAK-", upperDigit, 27, 27, ObserverKey},
	{"NRII-", wordDash, 32, 32, ObserverKey},
	{"PMAK-", wordDash, 59, 59, WorkToken},
	{"SG.", wordDot, 60, 72, MessagingKey},
	{"SK", hexLower, 32, 32, MessagingKey}, // Twilio
	{"dapi", hexLower, 32, 36, HostingToken},
	{"dckr_oat_", wordDash, 27, 40, PackageToken},
	{"dckr_pat_", wordDash, 27, 40, PackageToken},
	{"doo_v1_", hexLower, 64, 64, HostingToken},
	{"dop_v1_", hexLower, 64, 64, HostingToken},
	{"dor_v1_", hexLower, 64, 64, HostingToken},
	{"dp.ct.", word, 40, 44, VaultToken},
	{"dp.pt.", word, 40, 44, VaultToken},
	{"dp.st.", wordDot, 40, 64, VaultToken},
	{"dt0c01.", wordDot, 80, 100, ObserverKey},
	{"figd_", wordDash, 38, 46, WorkToken},
	{"fio-u-", wordDash, 60, 70, WorkToken},
	{"gho_", word, 36, 36, GitHubToken},
	{"ghp_", word, 36, 36, GitHubToken},
	{"ghr_", word, 36, 76, GitHubToken},
	{"ghs_", word, 36, 36, GitHubToken},
	{"ghu_", word, 36, 36, GitHubToken},
	{"github_pat_", wordDash, 82, 82, GitHubToken},
	{"glagent-", wordDash, 50, 60, GitLabToken},
	{"glc_", base64ish, 32, 400, ObserverKey},
	{"gldt-", wordDash, 20, 60, GitLabToken},
	{"glft-", wordDash, 20, 60, GitLabToken},
	{"glpat-", wordDot, 20, 60, GitLabToken},
	{"glptt-", hexLower, 40, 40, GitLabToken},
	{"glrt-", wordDot, 20, 60, GitLabToken},
	{"glsa_", wordDash, 41, 41, ObserverKey},
	{"gsk_", word, 48, 60, ModelToken},
	{"hf_", word, 30, 40, ModelToken},
	{"hvb.", wordDash, 80, 300, VaultToken},
	{"hvs.", wordDash, 24, 200, VaultToken},
	{"key-", hexLower, 32, 32, MessagingKey}, // Mailgun
	{"lin_api_", word, 40, 40, WorkToken},
	{"npm_", word, 36, 36, PackageToken},
	{"ntn_", word, 40, 50, WorkToken},
	{"nvapi-", wordDash, 60, 70, ModelToken},
	{"oy2", word, 43, 43, PackageToken}, // NuGet
	{"pat", wordDot, 70, 82, WorkToken}, // Airtable: pat + 14, a dot, 64
	{"pplx-", word, 40, 56, ModelToken},
	{"pscale_oauth_", wordDash, 32, 64, HostingToken},
	{"pscale_pw_", wordDash, 32, 64, HostingToken},
	{"pscale_tkn_", wordDash, 32, 64, HostingToken},
	{"pul-", hexLower, 40, 40, VaultToken},
	{"pypi-", wordDash, 85, 250, PackageToken},
	{"r8_", word, 37, 37, ModelToken},
	{"rk_live_", word, 16, 247, StripeKey},
	{"rk_test_", word, 16, 247, StripeKey},
	{"rubygems_", hexLower, 48, 48, PackageToken},
	{"sbp_", hexLower, 40, 40, HostingToken},
	{"secret_", word, 43, 43, WorkToken}, // Notion, older
	{"shpat_", hexLower, 32, 32, CommerceKey},
	{"shpca_", hexLower, 32, 32, CommerceKey},
	{"shppa_", hexLower, 32, 32, CommerceKey},
	{"shpss_", hexLower, 32, 32, CommerceKey},
	{"sk-", wordDash, 40, 200, ModelToken},
	{"sk_live_", word, 16, 247, StripeKey},
	{"sk_test_", word, 16, 247, StripeKey},
	{"sntrys_", base64ish, 60, 300, ObserverKey},
	{"sntryu_", hexLower, 64, 64, ObserverKey},
	{"sq0atp-", wordDash, 22, 22, CommerceKey},
	{"sq0csp-", wordDash, 43, 43, CommerceKey},
	{"squ_", hexLower, 40, 40, ObserverKey},
	{"tfp_", word, 44, 60, WorkToken},
	{"whsec_", base64ish, 24, 64, StripeKey},
	{"xai-", word, 70, 90, ModelToken},
	{"xapp-", wordDash, 40, 150, SlackToken},
	{"xoxa-", wordDash, 20, 150, SlackToken},
	{"xoxb-", wordDash, 20, 150, SlackToken},
	{"xoxe-", wordDash, 20, 250, SlackToken},
	{"xoxp-", wordDash, 20, 150, SlackToken},
	{"xoxr-", wordDash, 20, 150, SlackToken},
	{"xoxs-", wordDash, 20, 150, SlackToken},
	{"ya29.", wordDash, 60, 1000, GCPKey},
}

// vendorsFrom is where the prefixes with a first byte begin in vendors, plus one;
// 0 is none.
var vendorsFrom = func() (from [256]uint8) {
	for i, v := range vendors {
		if from[v.prefix[0]] == 0 {
			from[v.prefix[0]] = uint8(i + 1)
		}
	}
	return from
}()

// secret looks for a token that begins with the word at i and returns where to
// go on, 0 if there is none.
func (s *scan) secret(i, j int) int {
	v := s.value
	if len(v)-i < 16 {
		return 0
	}
	switch v[i] {
	case 'e':
		if strings.HasPrefix(v[i:], "eyJ") {
			return s.jwt(i)
		}
	case 'B', 'b':
		if j-i == 5 && strings.EqualFold(v[i:j], "basic") {
			return s.basic(j)
		}
		if j-i == 6 && strings.EqualFold(v[i:j], "bearer") {
			return s.bearer(j)
		}
	case 'h':
		if strings.HasPrefix(v[i:], "hooks.slack.com/services/T") {
			return s.until(i, i+len("hooks.slack.com/services/"), base64ish, 30, 60, SlackToken)
		}
	case 'M', 'N', 'O':
		if next := s.discord(i, j); next > 0 {
			return next
		}
	}
	from := int(vendorsFrom[v[i]])
	if from == 0 || i > 0 && class(v[i-1]) != 0 {
		return 0
	}
	for k := from - 1; k < len(vendors) && vendors[k].prefix[0] == v[i]; k++ {
		if p := &vendors[k]; strings.HasPrefix(v[i:], p.prefix) {
			if next := s.until(i, i+len(p.prefix), p.body, p.min, p.max, p.kind); next > 0 {
				return next
			}
		}
	}
	return 0
}

// until reads a token's body from b on.
func (s *scan) until(i, b int, alphabet byte, least, most int, kind Kind) int {
	v := s.value
	end := b
	for end < len(v) && end-b <= most && in(alphabet, v[end]) {
		end++
	}
	for end > b && (v[end-1] == '.' || v[end-1] == '-' && alphabet != base64ish) {
		end--
	}
	body := v[b:end]
	if len(body) < least || len(body) > most || end < len(v) && class(v[end])&alnum != 0 || !various(body) {
		return 0
	}
	with := fair
	if (kind == GitHubToken || kind == PackageToken) && v[b-1] == '_' && len(body) == 36 && crcBase62(body) {
		with = strong
	}
	if with == fair && (len(body) >= 20 || b-i >= 4) {
		with = strong
	}
	s.emit(kind, with, i, end)
	return end
}

func in(alphabet, c byte) bool {
	k := class(c)
	switch alphabet {
	case hexLower:
		return k == digit || c >= 'a' && c <= 'f'
	case upperDigit:
		return k&(digit|upper) != 0
	case word:
		return k&alnum != 0
	case wordDash:
		return k != 0 || c == '-'
	case wordDot:
		return k != 0 || c == '-' || c == '.'
	}
	return k != 0 || c == '-' || c == '+' || c == '/' || c == '='
}

// various says whether a token is made of enough different characters to be no
// placeholder (xxxxxxxx, your-api-key-here, 123456789).
func various(body string) bool {
	var seen [4]uint64
	different, digits, run := 0, 0, 0
	for i := range len(body) {
		c := body[i]
		if run++; i > 0 && c != body[i-1] {
			run = 0
		}
		if run == 10 {
			return false
		}
		if class(c) == digit {
			digits++
		}
		if seen[c>>6]>>(c&63)&1 == 0 {
			seen[c>>6] |= 1 << (c & 63)
			different++
		}
	}
	return different >= min(8, len(body)/2) && (digits > 0 || len(body) >= 16)
}

// crcBase62: the last six characters are the CRC-32 of the thirty before them.
func crcBase62(body string) bool {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	want := uint64(0)
	for _, c := range []byte(body[30:]) {
		k := strings.IndexByte(digits, c)
		if k < 0 {
			return false
		}
		want = want*62 + uint64(k)
	}
	sum := ^uint32(0) // by hand: crc32.Update takes bytes, and a copy would be one allocation
	for i := range 30 {
		sum = crc32.IEEETable[byte(sum)^body[i]] ^ sum>>8
	}
	return uint64(^sum) == want
}

// jwt is three parts of base64url with dots; the first is a JSON object. An
// encrypted one (JWE) has five.
func (s *scan) jwt(i int) int {
	v := s.value
	end, dots, first := i, 0, 0
	for end < len(v) && (in(wordDash, v[end]) || v[end] == '.') {
		if v[end] == '.' {
			if dots++; dots == 1 {
				first = end
			}
		}
		end++
	}
	for end > i && v[end-1] == '.' && dots > 2 { // the end of a sentence
		end--
		dots--
	}
	if dots != 2 && dots != 4 || first-i < 12 || end-first < 8 {
		return 0
	}
	s.emit(JWT, strong, i, end)
	return end
}

// basic is the value of an Authorization header: base64 of user:password.
func (s *scan) basic(j int) int {
	v := s.value
	if j+8 > len(v) || v[j] != ' ' {
		return 0
	}
	end, colon, bits, n := j+1, false, 0, 0
	for ; end < len(v) && v[end] != '='; end++ {
		k := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", v[end])
		if k < 0 {
			break
		}
		bits, n = bits<<6|k, n+6
		if n >= 8 {
			n -= 8
			c := byte(bits >> n)
			if c < 0x20 {
				return 0
			}
			colon = colon || c == ':'
			bits &= 1<<n - 1
		}
	}
	for end < len(v) && v[end] == '=' {
		end++
	}
	if !colon || end-j < 8 {
		return 0
	}
	s.emit(BasicCredentials, strong, j+1, end)
	return end
}

// bearer is the value of an Authorization header with a token of any form; a JWT
// and the tokens of vendors are found as such.
func (s *scan) bearer(j int) int {
	v := s.value
	if j+16 > len(v) || v[j] != ' ' {
		return 0
	}
	end := j + 1
	for end < len(v) && (in(base64ish, v[end]) || v[end] == '.' || v[end] == '~') {
		end++
	}
	token := v[j+1 : end]
	if len(token) < 16 || !various(token) || strings.HasPrefix(token, "eyJ") || vendorsFrom[token[0]] != 0 && s.secret(j+1, j+2) > 0 {
		return 0
	}
	s.emit(BearerToken, strong, j+1, end)
	return end
}

// discord is a bot's token: the base64 of its id, a time and a signature.
func (s *scan) discord(i, j int) int {
	v := s.value
	n := j - i
	if n < 23 || n > 28 || j+8 >= len(v) || v[j] != '.' || v[j+7] != '.' {
		return 0
	}
	end := j + 8
	for end < len(v) && in(wordDash, v[end]) {
		end++
	}
	if k := end - j - 8; k < 27 || k > 38 || strings.ContainsAny(v[j+1:j+7], " .") || !various(v[j+8:end]) {
		return 0
	}
	s.emit(MessagingKey, strong, i, end)
	return end
}

// telegram is a bot's token: its id, a colon and 35 characters.
func (s *scan) telegram(n number, start, end int) int {
	v := s.value
	if !n.plain() || n.n < 8 || n.n > 10 || end+36 > len(v) || v[end] != ':' || v[end+1] != 'A' {
		return 0
	}
	for k := end + 1; k < end+36; k++ {
		if !in(wordDash, v[k]) {
			return 0
		}
	}
	if end+36 < len(v) && class(v[end+36]) != 0 || !various(v[end+1:end+36]) {
		return 0
	}
	s.emit(MessagingKey, strong, start, end+36)
	return end + 36
}

// mailchimp is 32 hexadecimal digits with the name of a data centre.
func (s *scan) mailchimp(i, j int) {
	v := s.value
	if j+4 > len(v) || v[j:j+3] != "-us" || class(v[j+3]) != digit {
		return
	}
	for _, c := range []byte(v[i:j]) {
		if !in(hexLower, c) {
			return
		}
	}
	end := j + 4
	if end < len(v) && class(v[end]) == digit {
		end++
	}
	if s.whole(end) && various(v[i:j]) {
		s.emit(MessagingKey, strong, i, end)
	}
}

// hash is a password's hash at the $: crypt's forms (bcrypt, SHA-crypt, yescrypt)
// and PHC strings (Argon2, scrypt, PBKDF2).
func (s *scan) hash(i int) int {
	v := s.value
	rest := v[i:]
	least := 0
	for _, p := range [...]struct {
		prefix string
		least  int
	}{
		{"$2a$", 60}, {"$2b$", 60}, {"$2y$", 60}, {"$6$", 90}, {"$5$", 47}, {"$1$", 26}, {"$y$", 60}, {"$7$", 60},
		{"$argon2id$", 60}, {"$argon2i$", 60}, {"$argon2d$", 60}, {"$scrypt$", 50}, {"$pbkdf2", 40},
	} {
		if strings.HasPrefix(rest, p.prefix) {
			least = p.least
			break
		}
	}
	if least == 0 {
		return 0
	}
	end := i
	for end < len(v) && (in(base64ish, v[end]) || v[end] == '$' || v[end] == '.' || v[end] == ',') {
		end++
	}
	if end-i < least {
		return 0
	}
	s.emit(PasswordHash, strong, i, end)
	return end
}

// pem is a private key in PEM at i; certificates and public keys are nobody's
// secret.
func (s *scan) pem(i int) int {
	v := s.value
	head := v[i+11:]
	line := strings.Index(head[:min(len(head), 64)], "-----")
	if line < 0 {
		return i + 11
	}
	label := head[:line]
	if !strings.HasSuffix(label, "PRIVATE KEY") && label != "PGP PRIVATE KEY BLOCK" {
		return i + 11 + line + 5
	}
	end := i + 11 + line + 5
	if k := strings.Index(v[end:], "-----END "); k >= 0 {
		end += k
		if k := strings.Index(v[end+9:], "-----"); k >= 0 {
			end += 9 + k + 5
		}
	} else {
		end = len(v)
	}
	if end-i < 100 {
		return end
	}
	s.keep(PrivateKey, Certain, i, end)
	return end
}
