import jakarta.persistence.*;
import java.util.*;

@Entity
public class Maker {
    @Id
    @GeneratedValue(strategy = GenerationType.IDENTITY)
    public Long id;
    @Column(nullable = false, unique = true, length = 80)
    public String name;
    @Version
    public int version;
    @OneToMany(mappedBy = "maker", cascade = CascadeType.ALL, orphanRemoval = true)
    @OrderBy("id")
    public List<Part> parts = new ArrayList<>();
}
