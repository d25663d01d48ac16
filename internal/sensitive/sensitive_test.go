package sensitive

import (
	"strings"
	"testing"
)

// best is the finding of the highest confidence, as kind and confidence.
func best(name, value string) (Kind, Confidence) {
	k, c := None, Confidence(0)
	for _, f := range Classify(nil, name, value) {
		if f.Confidence > c {
			k, c = f.Kind, f.Confidence
		}
	}
	return k, c
}

// The examples are those that the issuers, laws and standards themselves
// print.
func TestPublishedExamples(t *testing.T) {
	for _, c := range []struct {
		name, value string
		kind        Kind
		confidence  Confidence
	}{
		{"", "4111 1111 1111 1111", PaymentCard, Certain},
		{"", "4111111111111111", PaymentCard, Likely},
		{"cardNumber", "378282246310005", PaymentCard, Certain},
		{"card", "3566002020360505", PaymentCard, Certain},
		{"", "GB82 WEST 1234 5698 7654 32", IBAN, Certain},
		{"", "DE89370400440532013000", IBAN, Certain},
		{"", "NO9386011117947", IBAN, Certain},
		{"", "MT84MALT011000012345MTLCAST001S", IBAN, Certain},
		{"bic", "DEUTDEFF", BIC, Certain},
		{"bic", "NEDSZAJJXXX", BIC, Certain},
		{"routing_number", "021000021", USRouting, Certain},
		{"", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", CryptoAddress, Certain},
		{"", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", CryptoAddress, Certain},
		{"", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", CryptoAddress, Certain},
		{"", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", CryptoAddress, Certain},
		{"", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", CryptoAddress, Certain},
		{"", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", CryptoAddress, Certain},
		{"", "219-09-9999", USSSN, Likely},
		{"ssn", "219099999", USSSN, Certain},
		{"itin", "900-70-0000", USITIN, Certain},
		{"", "AB 12 34 56 C", UKNINO, Certain},
		{"", "AB123456C", UKNINO, Likely},
		{"nhsNumber", "943 476 5919", UKNHS, Certain},
		{"steuerId", "86095742719", DESteuerID, Certain},
		{"", "2 55 08 14 168 025 38", FRNIR, Certain},
		{"", "255081416802538", FRNIR, Likely},
		{"", "12345678Z", ESDNI, Likely},
		{"dni", "X1234567L", ESNIE, Certain},
		{"", "RSSMRA85T10A562S", ITCodiceFiscale, Certain},
		{"bsn", "111222333", NLBSN, Certain},
		{"", "85.07.30-033.28", BENationalNumber, Certain},
		{"pesel", "44051401359", PLPESEL, Certain},
		{"", "811228-9874", SEPersonnummer, Likely},
		{"personnummer", "19811228-9874", SEPersonnummer, Certain},
		{"", "131052-308T", FIHetu, Certain},
		{"", "131052A308T", FIHetu, Certain},
		{"fodselsnummer", "29029600013", NOFodselsnummer, Certain},
		{"cpr", "070761-4285", DKCPR, Certain},
		{"", "756.9217.0769.85", CHAHV, Certain},
		{"svnr", "1237 010180", ATSVNR, Certain},
		{"ppsn", "1234567FA", IEPPS, Certain},
		{"contribuinte", "123456789", PTNIF, Certain},
		{"", "736028/5163", CZRodneCislo, Certain},
		{"cnp", "1800101221144", ROCNP, Certain},
		{"oib", "33392005961", HROIB, Certain},
		{"tckn", "10000000146", TRTCKN, Certain},
		{"", "529.982.247-25", BRCPF, Certain},
		{"", "11.222.333/0001-81", BRCNPJ, Certain},
		{"", "12.ABC.345/01DE-35", BRCNPJ, Certain},
		{"", "20-12345678-6", ARCUIT, Certain},
		{"", "12.345.678-5", CLRUT, Certain},
		{"", "HEGG560427MVZRRL04", MXCURP, Certain},
		{"aadhaar", "2341 2341 2346", INAadhaar, Certain},
		{"", "ABCPL1234F", INPAN, Likely},
		{"", "11010519491231002X", CNResidentID, Certain},
		{"my_number", "123456789018", JPMyNumber, Certain},
		{"", "S1234567D", SGNRIC, Likely},
		{"", "A123456(3)", HKID, Likely},
		{"tfn", "123 456 782", AUTFN, Certain},
		{"medicare", "2123 45670 1", AUMedicare, Certain},
		{"sin", "046 454 286", CASIN, Certain},
		{"", "8001015009087", ZAID, Likely},
		{"", "1EG4-TE5-MK73", USMBI, Certain},
		{"npi", "1234567893", USNPI, Certain},
		{"kvnr", "A123456780", DEKVNR, Certain},
		{"", "1M8GDM9AXKP042788", VehicleID, Likely},
		{"imei", "490154203237518", IMEI, Certain},
		{"", "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10", MachineReadable, Certain},
		{"", `I<UTOD231458907<<<<<<<<<<<<<<<\n7408122F1204159UTO<<<<<<<<<<<6\nERIKSSON<<ANNA<MARIA<<<<<<<<<<`, MachineReadable, Certain},
		{"", "anna.smith+x@mail.example.co.uk", Email, Certain},
		{"", "+44 20 7946 0958", Phone, Likely},
		{"", "+4930123456", Phone, Likely},
		{"", "(212) 555-1234", Phone, Likely},
		{"tel", "0151 23456789", Phone, Likely},
		{"", "93.184.216.34", IPAddress, Likely},
		{"client_ip", "10.1.2.3", IPAddress, Certain},
		{"", "2a00:1450:4001:81b::200e", IPAddress, Likely},
		{"", "00:1B:44:11:3A:B7", MACAddress, Likely},
		{"", "52.520008, 13.404954", Location, Likely},
		{"lat", "52.520008", Location, Likely},
		{"geburtsdatum", "24.12.1981", DateOfBirth, Likely},
		{"dateOfBirth", "1981-12-24T00:00:00Z", DateOfBirth, Likely},
		{"lastName", "Müller-Lüdenscheidt", PersonName, Likely},
		{"straße", "Hauptstraße 5", Address, Likely},
		{"zip", "94103-1234", PostalCode, Likely},
		{"passport_number", "C01X00T47", Passport, Likely},
		{"cvv", "737", CardVerification, Likely},
		{"bloodType", "AB+", BloodType, Likely},
		{"diagnosisCode", "E11.9", Diagnosis, Likely},
		{"password", "hunter2", Password, Likely},
		{"user.mot_de_passe", "hunter2", Password, Likely},
		{"пароль", "hunter2", Password, Likely},
		{"client_secret", "9f8a7Cc6d5e4b3a2", APIKey, Likely},
		{"", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh", JWT, Certain},
		{"", "AKIAIOSFODNN7EXAMPLE", AWSKey, Certain},
		{"aws_secret_access_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", AWSKey, Likely},
		{"", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", BasicCredentials, Certain},
		{"", "postgres://app:s3cr3t@db.internal:5432/shop", ConnectionString, Certain},
		{"", "Server=db;Database=shop;User Id=app;Password=s3cr3t!;", ConnectionString, Likely},
		{"", "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", PasswordHash, Certain},
		{"", "login ok for user, ssn 219099999, thanks", USSSN, Certain},
		{"", "token=abcd1234efgh5678ijkl", BearerToken, Likely},
	} {
		if kind, confidence := best(c.name, c.value); kind != c.kind || confidence != c.confidence {
			t.Errorf("%s=%q: %s %s, want %s %s", c.name, c.value, confidence, kind, c.confidence, c.kind)
		}
	}
}

// What looks like something and is not.
func TestNothingLikely(t *testing.T) {
	for _, c := range [][2]string{
		{"", "4111 1111 1111 1112"}, {"order_id", "4111111111111111"}, {"", "GB82 WEST 1234 5698 7654 33"},
		{"ssn", "000-12-3456"}, {"ssn", "666123456"}, {"", "QQ123456C"}, {"nhs", "943 476 5918"}, {"", "12345678A"},
		{"", "RSSMRA85T10A562T"}, {"", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"}, {"", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"},
		{"", "550e8400-e29b-41d4-a716-446655440000"}, {"", "2026-11-26T19:36:53.123Z"}, {"ts", "1764185813123"},
		{"", "d41d8cd98f00b204e9800998ecf8427e"}, {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"version", "1.2.3.4"}, {"", "10.0.19041.1"}, {"", "3.14159265358979"}, {"email_verified", "true"},
		{"password", "********"}, {"has_password", "true"}, {"password_changed_at", "2026-01-01"}, {"token_type", "Bearer"},
		{"next_page_token", "CAUQAA1234567890"}, {"", "logo@2x.png"}, {"", "npm install @types/node@20.1.0"},
		{"phone_type", "mobile"}, {"card_brand", "visa"}, {"", "127.0.0.1"}, {"", "ff:ff:ff:ff:ff:ff"}, {"max_tokens", "4096"},
		{"", "12:30:45"}, {"", "https://example.com/a/b?x=1"}, {"", "-----BEGIN CERTIFICATE-----\nMIIB" + strings.Repeat("A", 200)},
		{"address", "0x00"}, {"city", "Berlin"}, {"name", "Rope 12 mm"}, {"", "password: must be eight characters"}, {"", "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx"},
		{"", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, {"", "978-3-16-148410-0"}, {"tracking", "1Z999AA10123456784"}, {"", "US0378331005"},
	} {
		if kind, confidence := best(c[0], c[1]); confidence >= Likely {
			t.Errorf("%s=%q: %s %s", c[0], c[1], confidence, kind)
		}
	}
}

func TestPositionsAndCounts(t *testing.T) {
	const v = "id,mail\n1,ada@example.com\n2,grace@example.org\n3,DE89 3704 0044 0532 0130 00\n"
	found := Classify(nil, "", v)
	if len(found) != 2 {
		t.Fatalf("%+v", found)
	}
	if f := found[0]; v[f.Start:f.End] != "ada@example.com" || f.Count != 2 {
		t.Errorf("%+v", f)
	}
	if f := found[1]; v[f.Start:f.End] != "DE89 3704 0044 0532 0130 00" || f.Count != 1 {
		t.Errorf("%+v", f)
	}
}

func TestBounds(t *testing.T) {
	long := strings.Repeat(" ", MaxValue) + "ada@example.com"
	if found := Classify(nil, "", long); len(found) != 0 {
		t.Errorf("looked beyond the bound: %+v", found)
	}
	Classify(nil, strings.Repeat("camelCaseÄ_", 1000), "x")
	keep := []Finding{{Kind: Email}}
	if got := Classify(keep, "", "ada@example.com"); len(got) != 2 {
		t.Errorf("what the caller had is touched: %+v", got)
	}
}

func TestNoAllocation(t *testing.T) {
	var found []Finding
	for _, c := range [][2]string{
		{"", "d41d8cd98f00b204e9800998ecf8427e"}, {"description", "Twelve metres of rope, in stock since 2026-01-01 at 12:30"},
		{"orderId", "4111111111111112"}, {"quantity", "3"}, {"createdAt", "2026-11-26T19:36:53.123Z"}, {"", "550e8400-e29b-41d4-a716-446655440000"},
		{"url", "https://example.com/a/b?x=1"}, {"code", "AB123456Z"}, {"Straßenkarte", "x"}, {"", "12.345.678 1234 5678 9"},
		{"", "GB82WEST12345698765433"}, {"", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"}, {"", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb"},
	} {
		if n := testing.AllocsPerRun(100, func() { found = Classify(found[:0], c[0], c[1]) }); n != 0 {
			t.Errorf("%s=%q: %v allocations", c[0], c[1], n)
		}
	}
}

func TestByName(t *testing.T) {
	for name, want := range map[string]Kind{
		"email": Email, "userEmail": Email, "EMAIL_ADDRESS": Email, "e-mail": Email, "customer.contact.phoneNumber": Phone,
		"firstName": PersonName, "prénom": PersonName, "Größe": None, "kreditkartennummer": PaymentCard, "numéro_de_sécurité_sociale": FRNIR,
		"henkilötunnus": FIHetu, "SSN": USSSN, "ssnLast4": None, "IBANNumber": IBAN, "emailVerified": None, "isEmail": None,
		"addresses": Address, "shipping_address_line1": Address, "address_id": None, "userPassword": Password, "passwordResetUrl": None,
		"sessionId": SessionID, "id": None, "sku": None, "": None, "x-api-key": APIKey, "密码": Password,
	} {
		if got := ByName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	for _, c := range []struct {
		kind        Kind
		value, want string
	}{
		{Email, "Ada.L@example.com", "Aaa.A@aaaaaaa.aaa"}, {Phone, "+44 20 7946", "+00 00 0000"}, {Password, "hunter2", "*******"},
		{PersonName, "Jürgen", "A?aaaa"}, {Address, strings.Repeat("a", 50), strings.Repeat("a", 40) + "…"},
	} {
		if got := Redact(c.kind, c.value); got != c.want {
			t.Errorf("%q: %q, want %q", c.value, got, c.want)
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if k.String() == "" || k.Class() == Unclassified || seen[k.String()] || ParseKind(k.String()) != k {
			t.Errorf("kind %d: %q, class %q", k, k, k.Class())
		}
		seen[k.String()] = true
	}
}

// Prefixes that begin each other would shadow one another, and a first byte
// that is not in one run would be lost.
func TestVendorsAreSorted(t *testing.T) {
	for i := 1; i < len(vendors); i++ {
		if vendors[i-1].prefix >= vendors[i].prefix {
			t.Errorf("%q before %q", vendors[i-1].prefix, vendors[i].prefix)
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, s := range []string{"4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32", "a@b.co", "postgres://a:b@c", "(+49) 30-1", "::1", "P<UTO<<",
		"12.ABC.345/01DE-35", "-----BEGIN PRIVATE KEY-----", "password=abcd1234", "1234567890:AAAA", "2 55 08 14 168 025 38", "52.5200,13.4049"} {
		f.Add("name", s)
	}
	f.Add("Straße_ÄÖ.x[3]", "x")
	f.Fuzz(func(t *testing.T, name, value string) {
		found := Classify(nil, name, value)
		if len(found) > MaxFindings {
			t.Fatalf("%d findings", len(found))
		}
		seen := map[Kind]bool{}
		for _, x := range found {
			if x.Start < 0 || x.Start >= x.End || x.End > len(value) || x.Count < 1 || seen[x.Kind] || x.Kind == None || x.Kind >= kindCount || x.Confidence < Possible || x.Confidence > Certain {
				t.Fatalf("%+v in %q", x, value)
			}
			seen[x.Kind] = true
			if s := Redact(x.Kind, value[x.Start:x.End]); strings.ContainsAny(s, "123456789bcdefghijklmnopqrstuvwxyzBCDEFGHIJKLMNOPQRSTUVWXYZ") {
				t.Fatalf("%q keeps %q", s, value)
			}
		}
		ByName(name)
	})
}

func BenchmarkClassify(b *testing.B) {
	for _, c := range [][2]string{{"description", "Twelve metres of rope, in stock since spring"}, {"quantity", "3"}, {"email", "ada@example.com"},
		{"iban", "DE89370400440532013000"}, {"createdAt", "2026-11-26T19:36:53.123Z"}, {"id", "550e8400-e29b-41d4-a716-446655440000"}} {
		b.Run(c[0], func(b *testing.B) {
			b.ReportAllocs()
			var found []Finding
			for b.Loop() {
				found = Classify(found[:0], c[0], c[1])
			}
		})
	}
}
