package corpus

// makers are the kinds, with what their fields are called. The last names of a
// list are blank where the value says by itself what it is.
func makers() []maker {
	return []maker{
		{"payment-card", "card number,credit card number,kreditkartennummer,numero de tarjeta,pan,card no", card, spoiled(card), ""},
		{"iban", "iban,bank account iban,account,", iban, spoiled(iban), ""},
		{"bic", "bic,swift code,swift", bic, nil, ""},
		{"us-routing", "routing number,aba,bank routing number", routing, spoiled(routing), ""},
		{"us-ssn", "ssn,social security number,employee ssn", ssn, badSSN, ""},
		{"uk-nino", "nino,national insurance number,ni number,", nino, badNINO, ""},
		{"uk-nhs", "nhs number,nhs,patient nhs no", nhs, spoiled(nhs), ""},
		{"de-steuer-id", "steuer id,steueridentifikationsnummer,steuer idnr", steuerID, spoiled(steuerID), ""},
		{"fr-nir", "nir,numero securite sociale,", nir, spoiled(nir), ""},
		{"es-dni", "dni,nif,", dni, spoiled(dni), ""},
		{"es-nie", "nie,numero nie,", nie, spoiled(nie), ""},
		{"it-codice-fiscale", "codice fiscale,cf,", codiceFiscale, spoiled(codiceFiscale), ""},
		{"nl-bsn", "bsn,burgerservicenummer", bsn, spoiled(bsn), ""},
		{"be-national-number", "rijksregisternummer,niss,", belgian, spoiled(belgian), ""},
		{"pl-pesel", "pesel,numer pesel", pesel, spoiled(pesel), ""},
		{"se-personnummer", "personnummer,", personnummer, spoiled(personnummer), ""},
		{"fi-hetu", "hetu,henkilotunnus,", hetu, spoiled(hetu), ""},
		{"no-fodselsnummer", "fodselsnummer,fnr,", fodselsnummer, spoiled(fodselsnummer), ""},
		{"ch-ahv", "ahv nummer,avs,", ahv, spoiled(ahv), ""},
		{"br-cpf", "cpf,numero cpf", cpf, spoiled(cpf), ""},
		{"br-cnpj", "cnpj,", cnpj, spoiled(cnpj), ""},
		{"ar-cuit", "cuit,cuil", cuit, spoiled(cuit), ""},
		{"cl-rut", "rut,", rut, spoiled(rut), ""},
		{"mx-curp", "curp,", curp, spoiled(curp), ""},
		{"in-aadhaar", "aadhaar number,aadhaar", aadhaar, spoiled(aadhaar), ""},
		{"cn-resident-id", "resident id,身份证号,", residentID, spoiled(residentID), ""},
		{"au-tfn", "tfn,tax file number", tfn, spoiled(tfn), ""},
		{"au-medicare", "medicare number,medicare card", medicare, nil, ""},
		{"ca-sin", "sin,social insurance number", sin, spoiled(sin), ""},
		{"za-id", "sa id number,south african id,", southAfrican, spoiled(southAfrican), ""},
		{"sg-nric", "nric,", nric, spoiled(nric), ""},
		{"tr-tckn", "tckn,tc kimlik no", turkish, spoiled(turkish), ""},
		{"imei", "imei,device imei", imei, spoiled(imei), ""},
		{"vehicle-id", "vin,vehicle identification number,", vin, nil, ""},
		{"email", "email,contact email,correo,user,", email, badEmail, ""},
		{"phone", "phone,mobile number,telefon,telefono,", phone, badPhone, ""},
		{"ip-address", "client ip,remote addr,ip,", ipv4, nil, ""},
		{"ip-address", "client ip,ip address,", ipv6, nil, ""},
		{"mac-address", "mac,mac address,", mac, nil, ""},
		{"location", "location,coordinates,gps,", coordinates, nil, ""},
		{"date-of-birth", "date of birth,dob,geburtsdatum,fecha nacimiento,birthdate", birth, nil, ""},
		{"person-name", "first name,last name,full name,nachname,nom complet,apellidos", personName, nil, ""},
		{"address", "street,address,shipping address,strasse,direccion,indirizzo", street, nil, ""},
		{"machine-readable-document", "mrz,", mrz, badMRZ, ""},
		{"crypto-address", "wallet address,btc address,", bitcoin, spoiled(bitcoin), ""},
		{"crypto-address", "eth address,wallet,", ethereum, badEthereum, ""},
		{"diagnosis", "icd code,diagnosis code,diagnosis", icd, nil, ""},
		{"jwt", "token,authorization,id token,", jwt, badJWT, "service,class,version,"},
		{"private-key", "private key,key,", pem, badPEM, ""},
		{"aws-key", "aws access key id,access key,", aws, placeholder("AKIA"), ""},
		{"gcp-key", "key,api key,", gcp, placeholder("AIza"), ""},
		{"github-token", "token,github token,", github, placeholder("ghp_", "github_pat_"), ""},
		{"gitlab-token", "private token,", gitlab, placeholder("glpat-"), ""},
		{"slack-token", "slack token,bot token,", slack, placeholder("xoxb-"), ""},
		{"stripe-key", "secret key,stripe key,", stripe, placeholder("sk_live_", "pk_live_"), ""},
		{"model-provider-token", "api key,openai key,", model, placeholder("sk-", "hf_"), ""},
		{"messaging-key", "auth token,key,", messaging, placeholder("SG.", "key-"), ""},
		{"connection-string", "database url,dsn,connection string,", connection, badConnection, ""},
		{"password", "password,passwort,mot de passe,contrasena,senha,user password", password, badPassword, ""},
		{"password-hash", "password hash,password,", hash, nil, ""},
		{"api-key", "api key,client secret,app secret,x api key", apiKey, badPassword, ""},
	}
}

// misses look like something and are not.
func misses() []maker {
	return []maker{
		{"order numbers", "order id,order number,invoice no,bestellnummer,reference,", func(g *gen) string { return g.of("123456789", 1) + g.digits(g.between(7, 17)) }, nil, ""},
		{"dashed order numbers", "order id,order number,reference,", func(g *gen) string { return g.pick("ORD-", "INV-", "PO") + g.digits(g.between(6, 12)) }, nil, ""},
		{"timestamps", "ts,created at,time,timestamp,", func(g *gen) string {
			return sprintf("%d", int64(g.between(1500000000, 1900000000))*int64(g.pick2(1, 1000)))
		}, nil, ""},
		{"dates and times", "created at,updated,date,", func(g *gen) string {
			y, m, d := g.day()
			return g.pick(sprintf("%d-%02d-%02dT%02d:%02d:%02d.%sZ", y, m, d, d%24, m, d, g.digits(3)), sprintf("%d-%02d-%02d %02d:%02d", y, m, d, d%24, m), sprintf("%02d.%02d.%d", d, m, y), sprintf("%d%02d%02d%02d%02d%02d", y, m, d, d%24, m, d))
		}, nil, ""},
		{"hashes", "sha,checksum,etag,commit,", func(g *gen) string { return g.of(hexes, g.pick2(7, 32, 40, 64)) }, nil, ""},
		{"uuids", "id,uuid,request id,trace id,", func(g *gen) string {
			s := sprintf("%s-%s-4%s-8%s-%s", g.of(hexes, 8), g.of(hexes, 4), g.of(hexes, 3), g.of(hexes, 3), g.of(hexes, 12))
			return g.pick(s, sprintf("%s-%s-4%s-8%s-%s", g.digits(8), g.digits(4), g.digits(3), g.digits(3), g.digits(12)))
		}, nil, ""},
		{"ulids and short ids", "id,event,", func(g *gen) string {
			return g.pick("01"+g.of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24), g.of(alnums, 11), g.of(uppers+digits, 6), g.of(urlSafe, 21))
		}, nil, ""},
		{"versions", "version,", func(g *gen) string {
			return sprintf("%d.%d.%d%s", g.IntN(20), g.IntN(30), g.IntN(20), g.pick("", ".0", "-rc.1", "+build."+g.digits(4)))
		}, nil, ""},
		{"article numbers", "sku,article,ean,isbn,gtin,", func(g *gen) string {
			body := g.pick("40", "50", "03", "97") + g.digits(10)
			ean := trying(body, digits, func(s string) bool { return dot(s, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)%10 == 0 })
			return g.pick(ean, "978-3-16-"+g.digits(6)+"-"+g.digits(1), g.of(uppers, 2)+"-"+g.digits(5), g.of(uppers, 3)+g.digits(4))
		}, nil, ""},
		{"tracking numbers", "tracking number,shipment,", func(g *gen) string {
			return g.pick("1Z"+g.of(uppers+digits, 6)+g.digits(10), g.digits(20), "RR"+g.digits(9)+"DE")
		}, nil, ""},
		{"amounts", "price,total,amount,", func(g *gen) string { return sprintf("%d.%02d", g.IntN(100000), g.IntN(100)) }, nil, ""},
		{"floats", "score,ratio,", func(g *gen) string { return sprintf("%.15f", g.Float64()) }, nil, ""},
		{"about sensitive fields", "email verified,password changed at,card brand,phone type,token type,address id,has password,iban valid", func(g *gen) string {
			return g.pick("true", "false", "visa", "mobile", "2026-01-01T00:00:00Z", "7", "Bearer", "4711")
		}, nil, ""},
		{"private addresses", "host,server,", func(g *gen) string {
			return g.pick("127.0.0.1", "0.0.0.0", "::1", "10.0.0."+g.digits(1), "192.168.1."+g.digits(2))
		}, nil, ""},
		{"ordinary words", "name,title,description,status,city,comment,", func(g *gen) string {
			return g.pick("Rope 12 mm, per metre", "shipped", "Delivered on 24 May, 3 parcels", "GREEN", "The cat slept on it", "ACCEPTED", "en-GB", "application/json", "Berlin", "24/7", "size XL, colour 4711", "see page 12-14")
		}, nil, ""},
		{"paths and URLs", "url,link,href,", func(g *gen) string {
			return g.pick("/api/v1/orders/"+g.digits(8), "https://example.com/p/"+g.of(lowers, 8)+"?page="+g.digits(2), "s3://bucket/"+g.of(hexes, 12)+".bin", "/static/app."+g.of(hexes, 8)+".js")
		}, nil, ""},
		{"encoded data", "data,blob,image,", func(g *gen) string { return g.of(alnums+"+/", g.pick2(64, 200, 400)) }, nil, ""},
	}
}
