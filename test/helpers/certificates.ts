/**
 * Certificates for tests, made once and trusted by nobody else:
 * `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500
 * -subj /CN=first.roving.test -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1,...`
 */

export interface TestCertificate {
  readonly key: string;
  readonly cert: string;
  readonly name: string;
}

export const firstCertificate: TestCertificate = {
  name: 'first.roving.test',
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9UjkkG69n8Ad5i8l
Zai8+6nGbUzvy8sd2vU2V4kdHPahRANCAASED2LDsSMBTheOk5voncRN0+3Lb3Sz
OR8DXrvzkvEVIZ8FVhkahhBaCN+6iEICUFGJqMHt+hzxeFc3QG9n6JQT
-----END PRIVATE KEY-----
`,
  cert: `-----BEGIN CERTIFICATE-----
MIIB0TCCAXigAwIBAgIUSyx8C9SBd5glPDbfJNY52QIIwPcwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRZmlyc3Qucm92aW5nLnRlc3QwIBcNMjYxMTI2MjA0NDIzWhgP
MjEyNjExMDIyMDQ0MjNaMBwxGjAYBgNVBAMMEWZpcnN0LnJvdmluZy50ZXN0MFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEhA9iw7EjAU4XjpOb6J3ETdPty290szkf
A16785LxFSGfBVYZGoYQWgjfuohCAlBRiajB7foc8XhXN0BvZ+iUE6OBlTCBkjAd
BgNVHQ4EFgQUzQToB5St/hmJJp/WvfSkdiGYemUwHwYDVR0jBBgwFoAUzQToB5St
/hmJJp/WvfSkdiGYemUwDwYDVR0TAQH/BAUwAwEB/zA/BgNVHREEODA2gglsb2Nh
bGhvc3SCEWZpcnN0LnJvdmluZy50ZXN0hwR/AAABhxAAAAAAAAAAAAAAAAAAAAAB
MAoGCCqGSM49BAMCA0cAMEQCIDcm75+1XxCAIfIJjcIy7wcks1CUSoHebGt3AAHR
8/H9AiAx3XZEQQQKYOTeGogXMjk7Ql1e+TJ6KgNLV6McOcjJ9w==
-----END CERTIFICATE-----
`,
};

export const secondCertificate: TestCertificate = {
  name: 'second.roving.test',
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtUlfs6YyrzfN9wBA
eYfhpRQiQSbNq/3BKKRsW+d4v3uhRANCAAQbbls9I5EybmuUThJqgi1xiCoaJGvU
NcbErURAjqP7h6eXznuRlWN9pOcZOO8jQmIsId7wb/2NWGCWtIFeM7LY
-----END PRIVATE KEY-----
`,
  cert: `-----BEGIN CERTIFICATE-----
MIIB1TCCAXugAwIBAgIUAsWTTHhScU6Cr1/VnnAFeFaNLBkwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwSc2Vjb25kLnJvdmluZy50ZXN0MCAXDTI2MTEyNjIwNDQyM1oY
DzIxMjYxMTAyMjA0NDIzWjAdMRswGQYDVQQDDBJzZWNvbmQucm92aW5nLnRlc3Qw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQbbls9I5EybmuUThJqgi1xiCoaJGvU
NcbErURAjqP7h6eXznuRlWN9pOcZOO8jQmIsId7wb/2NWGCWtIFeM7LYo4GWMIGT
MB0GA1UdDgQWBBTquG0ifEKEQ3kQqQrWP3R4wNRvRzAfBgNVHSMEGDAWgBTquG0i
fEKEQ3kQqQrWP3R4wNRvRzAPBgNVHRMBAf8EBTADAQH/MEAGA1UdEQQ5MDeCCWxv
Y2FsaG9zdIISc2Vjb25kLnJvdmluZy50ZXN0hwR/AAABhxAAAAAAAAAAAAAAAAAA
AAABMAoGCCqGSM49BAMCA0gAMEUCIQCOO0hBG+0dn2eS2qHiv/QMXDIbsyPyaEYF
1GmZIwzX7gIgK1nZmFXnKUyhwIvXh8JC4QPBD9LgG/Ew5GwGOqSMOkw=
-----END CERTIFICATE-----
`,
};
