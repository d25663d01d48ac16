package sensitive

// Kind is one sort of sensitive data.
type Kind uint8

// The kinds. Their order has no meaning, but stored kinds are stored by name.
const (
	None Kind = iota

	// People, and how to reach or find them.
	PersonName
	Email
	Phone
	Address
	PostalCode
	DateOfBirth
	Gender
	SpecialCategory // religion, ethnicity, orientation, politics, union
	Location        // coordinates
	IPAddress
	MACAddress
	IMEI
	VehicleID
	LicencePlate
	Passport
	MachineReadable // the lines of a passport or identity card (ICAO 9303)
	DriverLicence
	NationalID // of no known country, by name

	// National identifiers, by country.
	USSSN
	USITIN
	UKNINO
	DESteuerID
	FRNIR
	ESDNI
	ESNIE
	ITCodiceFiscale
	NLBSN
	BENationalNumber
	PLPESEL
	SEPersonnummer
	FIHetu
	NOFodselsnummer
	DKCPR
	CHAHV
	ATSVNR
	IEPPS
	PTNIF
	CZRodneCislo
	ROCNP
	HROIB
	TRTCKN
	BRCPF
	BRCNPJ
	ARCUIT
	CLRUT
	MXCURP
	INAadhaar
	INPAN
	CNResidentID
	KRRRN
	JPMyNumber
	SGNRIC
	HKID
	ILID
	AUTFN
	CASIN
	ZAID

	// Money.
	PaymentCard
	CardVerification
	CardExpiry
	IBAN
	BIC
	BankAccount
	USRouting
	CryptoAddress
	Income

	// Health.
	UKNHS
	AUMedicare
	USMBI
	USNPI
	USDEA
	DEKVNR
	HealthID
	Diagnosis
	Medication
	BloodType

	// Secrets.
	Password
	PasswordHash
	PrivateKey
	JWT
	BearerToken
	BasicCredentials
	ConnectionString
	SessionID
	OneTimeCode
	APIKey // of no known vendor, by name
	AWSKey
	GCPKey
	AzureKey
	GitHubToken
	GitLabToken
	SlackToken
	StripeKey
	PackageToken // npm, PyPI, RubyGems, crates, Docker Hub
	ModelToken   // OpenAI, Anthropic, Hugging Face and others
	MessagingKey // Twilio, SendGrid, Mailgun, Mailchimp, Telegram, Discord
	HostingToken // DigitalOcean, Heroku, Cloudflare and others
	CommerceKey  // Shopify, Square, PayPal
	ObserverKey  // Grafana, Datadog, New Relic, Sentry
	WorkToken    // Atlassian, Linear, Notion, Airtable, Figma, Postman
	VaultToken   // HashiCorp Vault, Terraform, Doppler, Pulumi, age

	kindCount
)

// kinds says the name and class of each.
var kinds = [kindCount]struct {
	name  string
	class Class
}{
	None:             {"", Unclassified},
	PersonName:       {"person-name", Personal},
	Email:            {"email", Personal},
	Phone:            {"phone", Personal},
	Address:          {"address", Personal},
	PostalCode:       {"postal-code", Personal},
	DateOfBirth:      {"date-of-birth", Personal},
	Gender:           {"gender", Personal},
	SpecialCategory:  {"special-category", Personal},
	Location:         {"location", Personal},
	IPAddress:        {"ip-address", Personal},
	MACAddress:       {"mac-address", Personal},
	IMEI:             {"imei", Personal},
	VehicleID:        {"vehicle-id", Personal},
	LicencePlate:     {"licence-plate", Personal},
	Passport:         {"passport", Personal},
	MachineReadable:  {"machine-readable-document", Personal},
	DriverLicence:    {"driver-licence", Personal},
	NationalID:       {"national-id", Personal},
	USSSN:            {"us-ssn", Personal},
	USITIN:           {"us-itin", Personal},
	UKNINO:           {"uk-nino", Personal},
	DESteuerID:       {"de-steuer-id", Personal},
	FRNIR:            {"fr-nir", Personal},
	ESDNI:            {"es-dni", Personal},
	ESNIE:            {"es-nie", Personal},
	ITCodiceFiscale:  {"it-codice-fiscale", Personal},
	NLBSN:            {"nl-bsn", Personal},
	BENationalNumber: {"be-national-number", Personal},
	PLPESEL:          {"pl-pesel", Personal},
	SEPersonnummer:   {"se-personnummer", Personal},
	FIHetu:           {"fi-hetu", Personal},
	NOFodselsnummer:  {"no-fodselsnummer", Personal},
	DKCPR:            {"dk-cpr", Personal},
	CHAHV:            {"ch-ahv", Personal},
	ATSVNR:           {"at-svnr", Personal},
	IEPPS:            {"ie-pps", Personal},
	PTNIF:            {"pt-nif", Personal},
	CZRodneCislo:     {"cz-rodne-cislo", Personal},
	ROCNP:            {"ro-cnp", Personal},
	HROIB:            {"hr-oib", Personal},
	TRTCKN:           {"tr-tckn", Personal},
	BRCPF:            {"br-cpf", Personal},
	BRCNPJ:           {"br-cnpj", Personal},
	ARCUIT:           {"ar-cuit", Personal},
	CLRUT:            {"cl-rut", Personal},
	MXCURP:           {"mx-curp", Personal},
	INAadhaar:        {"in-aadhaar", Personal},
	INPAN:            {"in-pan", Personal},
	CNResidentID:     {"cn-resident-id", Personal},
	KRRRN:            {"kr-rrn", Personal},
	JPMyNumber:       {"jp-my-number", Personal},
	SGNRIC:           {"sg-nric", Personal},
	HKID:             {"hk-id", Personal},
	ILID:             {"il-id", Personal},
	AUTFN:            {"au-tfn", Personal},
	CASIN:            {"ca-sin", Personal},
	ZAID:             {"za-id", Personal},
	PaymentCard:      {"payment-card", Financial},
	CardVerification: {"card-verification", Financial},
	CardExpiry:       {"card-expiry", Financial},
	IBAN:             {"iban", Financial},
	BIC:              {"bic", Financial},
	BankAccount:      {"bank-account", Financial},
	USRouting:        {"us-routing", Financial},
	CryptoAddress:    {"crypto-address", Financial},
	Income:           {"income", Financial},
	UKNHS:            {"uk-nhs", Health},
	AUMedicare:       {"au-medicare", Health},
	USMBI:            {"us-mbi", Health},
	USNPI:            {"us-npi", Health},
	USDEA:            {"us-dea", Health},
	DEKVNR:           {"de-kvnr", Health},
	HealthID:         {"health-id", Health},
	Diagnosis:        {"diagnosis", Health},
	Medication:       {"medication", Health},
	BloodType:        {"blood-type", Health},
	Password:         {"password", Secret},
	PasswordHash:     {"password-hash", Secret},
	PrivateKey:       {"private-key", Secret},
	JWT:              {"jwt", Secret},
	BearerToken:      {"bearer-token", Secret},
	BasicCredentials: {"basic-credentials", Secret},
	ConnectionString: {"connection-string", Secret},
	SessionID:        {"session-id", Secret},
	OneTimeCode:      {"one-time-code", Secret},
	APIKey:           {"api-key", Secret},
	AWSKey:           {"aws-key", Secret},
	GCPKey:           {"gcp-key", Secret},
	AzureKey:         {"azure-key", Secret},
	GitHubToken:      {"github-token", Secret},
	GitLabToken:      {"gitlab-token", Secret},
	SlackToken:       {"slack-token", Secret},
	StripeKey:        {"stripe-key", Secret},
	PackageToken:     {"package-registry-token", Secret},
	ModelToken:       {"model-provider-token", Secret},
	MessagingKey:     {"messaging-key", Secret},
	HostingToken:     {"hosting-token", Secret},
	CommerceKey:      {"commerce-key", Secret},
	ObserverKey:      {"observability-key", Secret},
	WorkToken:        {"workplace-token", Secret},
	VaultToken:       {"vault-token", Secret},
}

// String is the kind's name as it is stored and shown: "us-ssn".
func (k Kind) String() string { return kinds[min(k, kindCount-1)].name }

// Class is why the kind matters.
func (k Kind) Class() Class { return kinds[min(k, kindCount-1)].class }

// Kinds are all kinds, in order.
func Kinds() []Kind {
	all := make([]Kind, 0, kindCount-1)
	for k := None + 1; k < kindCount; k++ {
		all = append(all, k)
	}
	return all
}

// ParseKind is the kind with this name, or None.
func ParseKind(name string) Kind {
	for k := None + 1; k < kindCount; k++ {
		if kinds[k].name == name {
			return k
		}
	}
	return None
}

// MarshalText and UnmarshalText store a kind by its name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name; one that a later version made is None.
func (k *Kind) UnmarshalText(b []byte) error {
	*k = ParseKind(string(b))
	return nil
}

// national says whether a field "national id" or "tax id" may hold the kind.
func (k Kind) national() bool { return k >= USSSN && k <= ZAID }

// health says whether a field "health insurance number" may hold the kind.
func (k Kind) healthNumber() bool { return k >= UKNHS && k <= DEKVNR }

// agrees says whether a name that speaks of the one kind fits a value of the
// other.
func (k Kind) agrees(value Kind) bool {
	switch {
	case k == None:
		return false
	case k == value:
		return true
	case k == NationalID:
		return value.national() || value == Passport || value == UKNHS
	case k == HealthID:
		return value.healthNumber() || value == USSSN
	case k.Class() == Secret:
		return value.Class() == Secret && value > Password
	case k == ESDNI:
		return value == ESNIE
	case k == USSSN:
		return value == USITIN
	case k == BankAccount:
		return value == IBAN
	case k == PaymentCard: // "pan" is both
		return value == INPAN
	}
	return false
}
