"""What a cluster is started with: roles, certificates, Kibana's objects, and the steps that put them there."""
