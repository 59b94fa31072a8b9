#!/bin/sh
# A CA and a certificate for Elasticsearch, in the folder given: ca.crt, elasticsearch.crt, elasticsearch.key.
# What is there and good for 30 days more is kept. The CA's own key is not: nobody can sign another certificate with it.
# Needs openssl. The key is readable by its owner and group alone.
set -eu
folder=${1:?usage: certificates.sh FOLDER}
days=1095
umask 027

# A key of another certificate: somebody stopped us between two files.
key_fits() {
  of_key=$(openssl pkey -pubout -in "$folder/elasticsearch.key" 2>/dev/null) &&
    [ "$of_key" = "$(openssl x509 -noout -pubkey -in "$folder/elasticsearch.crt" 2>/dev/null)" ]
}

if key_fits &&
  openssl x509 -checkend 2592000 -noout -in "$folder/elasticsearch.crt" >/dev/null 2>&1 &&
  openssl verify -CAfile "$folder/ca.crt" "$folder/elasticsearch.crt" >/dev/null 2>&1; then
  echo "certificates: those in $folder are good"
  exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days "$days" -subj "/CN=Soundings CA" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign" \
  -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -subj "/CN=elasticsearch" \
  -keyout "$work/elasticsearch.key" -out "$work/elasticsearch.csr" 2>/dev/null
cat >"$work/extensions" <<EOF
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature,keyEncipherment
extendedKeyUsage=serverAuth,clientAuth
subjectAltName=DNS:elasticsearch,DNS:localhost,IP:127.0.0.1
EOF
openssl x509 -req -sha256 -days "$days" -in "$work/elasticsearch.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" \
  -CAcreateserial -extfile "$work/extensions" -out "$work/elasticsearch.crt" 2>/dev/null

for name in ca.crt elasticsearch.crt; do
  install -m 644 "$work/$name" "$folder/$name"
done
install -m 640 "$work/elasticsearch.key" "$folder/elasticsearch.key"
echo "certificates: written to $folder, good for $days days"
