package sensitive

// ibanLength is the length of a country's IBAN (ISO 13616 registry), 0 if it has
// none.
func ibanLength(a, b byte) int {
	code := string([]byte{a, b})
	for i := 0; i+4 <= len(ibanLengths); i += 4 {
		if ibanLengths[i:i+2] == code {
			return int(ibanLengths[i+2]-'0')*10 + int(ibanLengths[i+3]-'0')
		}
	}
	return 0
}

const ibanLengths = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18" +
	"FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21" +
	"LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24" +
	"SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30"

// iban reads one at i, whole or in groups of four, and returns where it ends; 0
// if there is none. ISO 7064 mod 97-10.
func (s *scan) iban(i, j int) int {
	v := s.value
	if j-i < 4 || class(v[i])&letter == 0 || class(v[i+1])&letter == 0 || class(v[i+2]) != digit || class(v[i+3]) != digit {
		return 0
	}
	if j-i > 4 && j-i < 15 || j-i > 34 {
		return 0
	}
	want := ibanLength(v[i]&^0x20, v[i+1]&^0x20)
	if want == 0 {
		return 0
	}
	rest, seen, k := 0, 0, i
	first := 0 // the remainder of country and check digits, which go last
	for ; k < len(v) && seen < want; k++ {
		c := class(v[k])
		if c&alnum == 0 {
			if (v[k] == ' ' || v[k] == '-') && seen%4 == 0 && k+1 < len(v) && class(v[k+1])&alnum != 0 {
				continue
			}
			return 0
		}
		n, width := int(v[k]-'0'), 10
		if c != digit {
			n, width = int(v[k]&^0x20-'A')+10, 100
		}
		if seen < 4 {
			first = first*width + n
		} else {
			rest = (rest*width + n) % 97
		}
		seen++
	}
	if seen < want || !s.whole(k) {
		return 0
	}
	if (rest*1000000+first)%97 != 1 {
		return k // mistyped: its groups are no numbers of their own
	}
	s.emit(IBAN, strong, i, k)
	return k
}

// country says whether two capital letters are a country (ISO 3166-1, and XK).
func country(code string) bool {
	for i := 0; i+2 <= len(countries); i += 2 {
		if countries[i:i+2] == code {
			return true
		}
	}
	return false
}

const countries = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZ" +
	"DEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKN" +
	"KPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPY" +
	"QARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW"
