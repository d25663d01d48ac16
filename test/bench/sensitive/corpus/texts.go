package corpus

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
)

func email(g *gen) string {
	user := g.pick("ada", "grace.hopper", "linus_t", "j.doe", "maria-luisa", "müller", "a.b.c", "sales") + g.pick("", "+news", g.digits(3))
	return user + "@" + g.pick("example", "mail.example", "firma-xyz", "uni.example", "sub.domain") + g.pick(".com", ".org", ".co.uk", ".de", ".io", ".museum")
}

func badEmail(g *gen) string {
	return g.pick("logo@2x.png", "user@localhost", "@mention", "a@", "types/node@20.1.0", "git@", "left@right", "x @ y.z", "ada(at)example.com")
}

func phone(g *gen) string {
	switch g.IntN(6) {
	case 0:
		return sprintf("+1%d%s%d%s", g.between(2, 9), "3"+g.digits(1), g.between(2, 9), "4"+g.digits(5))
	case 1:
		return "+49 " + g.pick("151", "160", "170", "30") + " " + g.of("123456789", 1) + g.digits(7)
	case 2:
		return "+44 20 " + g.of("378", 1) + g.digits(3) + " " + g.digits(4)
	case 3:
		return "+33 " + g.of("67", 1) + " " + g.digits(2) + " " + g.digits(2) + " " + g.digits(2) + " " + g.digits(2)
	case 4:
		return sprintf("(%d) %d-%s", g.between(212, 299), g.between(520, 899), g.digits(4))
	}
	return "+55" + g.pick("11", "21") + "9" + g.digits(8)
}

func badPhone(g *gen) string {
	return g.pick("+999 123", "+0 123 456 789", "+12", "+1 100 200 3000", "mobile", "n/a")
}

func ipv4(g *gen) string {
	return sprintf("%d.%d.%d.%d", g.pick2(18, 52, 93, 151, 185, 203), g.between(30, 255), g.between(0, 255), g.between(1, 254))
}

func (g *gen) pick2(n ...int) int { return n[g.IntN(len(n))] }

func ipv6(g *gen) string {
	return "2a0" + g.of(digits, 1) + ":" + g.of("123456789abcdef", 1) + g.of(hexes, 3) + ":" + g.of(hexes, 4) + "::" + g.of(hexes, 2)
}

func mac(g *gen) string {
	sep := g.pick(":", "-")
	parts := []string{g.pick("00", "3c", "f4", "a8")}
	for range 5 {
		parts = append(parts, g.of(hexes, 2))
	}
	s := strings.Join(parts, sep)
	if g.IntN(2) == 0 {
		return strings.ToUpper(s)
	}
	return s
}

func coordinates(g *gen) string {
	return sprintf("%.6f%s%.6f", g.Float64()*160-80, g.pick(",", ", "), g.Float64()*340-170)
}

func birth(g *gen) string {
	y, m, d := g.day()
	switch g.IntN(4) {
	case 0:
		return sprintf("%02d.%02d.%d", d, m, y)
	case 1:
		return sprintf("%02d/%02d/%d", m, d, y)
	case 2:
		return sprintf("%d-%02d-%02dT00:00:00Z", y, m, d)
	}
	return sprintf("%d-%02d-%02d", y, m, d)
}

func personName(g *gen) string {
	return g.pick("Ada", "Jürgen", "María José", "Søren", "Li", "Oluwaseun", "Anne-Marie") + g.pick("", " O'Neill", " Müller", " García Lorca", " van Dijk", " Kowalska")
}

func street(g *gen) string {
	n := g.between(1, 400)
	return g.pick(sprintf("%d Main Street", n), sprintf("Hauptstraße %d", n), sprintf("%d rue de la Paix", n), sprintf("Calle Mayor %d, 2º B", n), sprintf("Via Roma %d", n), sprintf("Kungsgatan %d", n))
}

func mrz(g *gen) string {
	check := func(s string) string {
		sum := 0
		for i, c := range s {
			v := 0
			if c != '<' {
				v = strings.IndexRune(digits+uppers, c)
			}
			sum += v * (7 - 4*(i%3) + i%3/2*2) // 7, 3, 1
		}
		return sprintf("%d", sum%10)
	}
	pad := func(s string, n int) string { return s + strings.Repeat("<", n-len(s)) }
	y, m, d := g.day()
	number := pad(g.of(uppers+digits, 8), 9)
	born := sprintf("%02d%02d%02d", y%100, m, d)
	expires := sprintf("%02d%02d%02d", g.between(27, 36), m, d)
	second := number + check(number) + "UTO" + born + check(born) + g.pick("M", "F") + expires + check(expires) + "<<<<<<<<<<<<<<" + "0"
	all := number + check(number) + born + check(born) + expires + check(expires) + "<<<<<<<<<<<<<<0"
	return pad("P<UTO"+g.of(uppers, g.between(4, 10))+"<<"+g.of(uppers, 5), 44) + "\n" + second + check(all)
}

func badMRZ(g *gen) string {
	s := mrz(g)
	return s[:45] + g.spoil(s[45:55]) + s[55:]
}

func bitcoin(g *gen) string {
	payload := make([]byte, 21)
	for i := range payload[1:] {
		payload[i+1] = byte(g.IntN(256))
	}
	payload[0] = byte(g.pick2(0, 5))
	one := sha256.Sum256(payload)
	two := sha256.Sum256(one[:])
	n := new(big.Int).SetBytes(append(payload, two[:4]...))
	s := ""
	for m, base := new(big.Int), big.NewInt(58); n.Sign() > 0; {
		n.DivMod(n, base, m)
		s = string("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[m.Int64()]) + s
	}
	if payload[0] == 0 {
		s = "1" + s
	}
	if len(s) < 30 {
		return bitcoin(g)
	}
	return s
}

func ethereum(g *gen) string { return "0x" + g.of(hexes, 40) }

func badEthereum(g *gen) string {
	return "0x" + g.pick("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", "fb6916095ca1df60bB79Ce92cE3Ea74c37c5d359", g.of(hexes, 39), g.of(hexes, 64))
}

func jwt(g *gen) string {
	e := base64.RawURLEncoding
	return e.EncodeToString([]byte(g.pick(`{"alg":"HS256","typ":"JWT"}`, `{"typ":"JWT","alg":"RS256","kid":"1"}`, `{"alg":"none"}`))) + "." +
		e.EncodeToString([]byte(fmt.Sprintf(`{"sub":%q,"exp":%d}`, g.of(lowers, 6), g.between(1700000000, 1900000000)))) + "." + g.of(urlSafe, 43)
}

func badJWT(g *gen) string {
	return g.pick("eyJ."+g.of(urlSafe, 3), "com.example.Service", "eyJhbGciOiJIUzI1NiJ9", "a.b.c", "v1.2.3-rc.1")
}

func pem(g *gen) string {
	return "-----BEGIN " + g.pick("RSA ", "", "EC ", "OPENSSH ", "ENCRYPTED ") + "PRIVATE KEY-----\n" + g.of(alnums+"+/", 64) + "\n" + g.of(alnums+"+/", 64) + "\n-----END PRIVATE KEY-----\n"
}

func badPEM(g *gen) string {
	return "-----BEGIN " + g.pick("CERTIFICATE", "PUBLIC KEY", "CERTIFICATE REQUEST") + "-----\n" + g.of(alnums+"+/", 64) + "\n" + g.of(alnums+"+/", 64) + "\n-----END PUBLIC KEY-----\n"
}

func github(g *gen) string { return g.pick("ghp_", "gho_", "ghs_", "ghu_") + g.of(alnums, 36) }

func aws(g *gen) string { return g.pick("AKIA", "ASIA") + g.of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16) }

func gcp(g *gen) string { return "AIza" + g.of(urlSafe, 34) + g.of(alnums, 1) }

func slack(g *gen) string {
	return g.pick("xoxb-", "xoxp-") + g.of("123456789", 1) + g.digits(11) + "-" + g.digits(12) + "-" + g.of(alnums, 24)
}

func stripe(g *gen) string {
	return g.pick("sk_live_", "rk_live_", "sk_test_") + g.of(alnums, g.pick2(24, 99))
}

func gitlab(g *gen) string { return "glpat-" + g.of(alnums+"_", 20) }

func model(g *gen) string {
	return g.pick("sk-proj-"+g.of(urlSafe, 64)+g.of(alnums, 1), "sk-ant-api03-"+g.of(urlSafe, 92)+"AA", "hf_"+g.of(letters, 34)+g.of(digits, 1))
}

func messaging(g *gen) string {
	return g.pick("SG."+g.of(alnums, 22)+"."+g.of(alnums, 43), "SK"+g.of(hexes, 32), g.of("123456789", 1)+g.digits(8)+":AA"+g.of(alnums, 33), g.of(hexes, 32)+"-us"+g.of("123456789", 1))
}

// placeholder is a token as documentation writes it.
func placeholder(prefixes ...string) func(*gen) string {
	return func(g *gen) string {
		p := g.pick(prefixes...)
		return p + g.pick(strings.Repeat("x", 36), strings.Repeat("0", 36), strings.Repeat("X", 16), "...", "", g.of(alnums, 4))
	}
}

func connection(g *gen) string {
	pw := g.of(alnums, 10)
	return g.pick("postgres://app:"+pw+"@db.internal:5432/shop", "mongodb+srv://svc:"+pw+"@cluster0.example.net/x", "amqp://guest:"+pw+"@mq:5672/",
		"Server=tcp:db.example.net,1433;Database=shop;User ID=sa;Password="+pw+"1;", "redis://default:"+pw+"@cache:6379")
}

func badConnection(g *gen) string {
	return g.pick("postgres://db.internal:5432/shop", "https://example.com/a@b", "redis://cache:6379/0", "postgres://user:${DB_PASSWORD}@db/x", "https://user:****@example.com/", "http://example.com:8080/@user")
}

func password(g *gen) string {
	return g.pick("hunter2", "correct horse battery staple", "P@ssw0rd!", g.of(alnums, 12), g.of(alnums+"!$%&?", 16), "geheim123")
}

func badPassword(g *gen) string {
	return g.pick("", "********", "null", "true", "[REDACTED]", "xxx", "${PASSWORD}")
}

func hash(g *gen) string {
	return g.pick("$2b$12$"+g.of(alnums+"./", 53), "$argon2id$v=19$m=65536,t=3,p=4$"+g.of(alnums, 22)+"$"+g.of(alnums, 43), "$6$"+g.of(alnums, 16)+"$"+g.of(alnums+"./", 86))
}

func apiKey(g *gen) string { return g.pick(g.of(hexes, 32), g.of(alnums, 40), g.of(urlSafe, 43)+"A1") }

func bic(g *gen) string {
	return g.of(uppers, 4) + g.pick("DE", "GB", "FR", "US", "CH", "NL") + g.of(uppers+"23456789", 2) + g.pick("", "XXX")
}

func icd(g *gen) string { return g.of("ABCEFGJKM", 1) + g.digits(2) + "." + g.digits(1) }
