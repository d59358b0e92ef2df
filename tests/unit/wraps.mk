# Which functions a unit test replaces (ld --wrap), named one by one.
# WRAP_<part>_test_<module> := function …
WRAP_common_test_fsutil := close fchmod fsync renameat write

# What a test needs besides the archives of its part.
$(foreach t,key metadata client,$(B)/test/unit/tuf/test_$(t)): $(B)/obj/tests/lib/tuf_repo.o
