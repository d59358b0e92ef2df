# Which functions a unit test replaces (ld --wrap), named one by one.
# WRAP_<part>_test_<module> := function …
WRAP_bmsd_test_state := fs_write_file_atomic
WRAP_common_test_fsutil := close fchmod fsync renameat write
WRAP_release_test_publish := fsync renameat

# What a test needs besides the archives of its part.
$(foreach t,key metadata client,$(B)/test/unit/tuf/test_$(t)): $(B)/obj/tests/lib/tuf_repo.o
$(B)/test/unit/common/test_http: $(B)/obj/tests/lib/tls_server.o
LINK_common_test_http := -lssl
$(foreach t,fetch trust,$(B)/test/unit/updaterd/test_$(t)): $(B)/obj/tests/lib/range_server.o \
	$(B)/obj/tests/lib/tls_server.o
LINK_updaterd_test_fetch := -lssl
LINK_updaterd_test_trust := -lssl
$(B)/test/unit/updaterd/test_trust: $(B)/obj/tests/lib/tuf_repo.o
$(B)/test/unit/queryd/test_catalog: $(B)/obj/tests/lib/tuf_repo.o
